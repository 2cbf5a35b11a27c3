from kir.ir.structural import Input
from kir.ops.elementwise import Add, Neg, Relu
from kir.passes.remove_dead import remove_dead
from tests.passes.building import Build, op_names


def test_what_no_output_depends_on_goes_and_inputs_stay() -> None:
    build = Build("f32[batch, 4]", "f32[batch, 4]")
    x, unread = build.inputs
    build(Add(), build(Neg(), x), unread)
    graph = build.finish(build(Relu(), x))
    assert remove_dead(graph) == 2
    assert op_names(graph) == ["Relu"]
    assert [node for node in graph.inputs if isinstance(node.op, Input)] == [x.node, unread.node]
    assert remove_dead(graph) == 0
