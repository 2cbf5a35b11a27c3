"""Pieces of a file: what is cut out, what is the same, and that they run together."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from kir.exporters.onnx_file.content import read_content
from kir.exporters.onnx_file.pieces import Piece, PieceCutter
from kir.exporters.onnx_file.session import make_session, run_session


def model(*text: str, weights: dict[str, float] | None = None) -> ModelProto:
    """Return a model of nodes such as "y = Add(x, w)", of vectors of floats; its input is x, its output y."""
    nodes = []
    for line in text:
        output, call = line.split(" = ")
        op_type, inputs = call.rstrip(")").split("(")
        nodes.append(helper.make_node(op_type, inputs.split(", "), [output]))
    floats = [numpy_helper.from_array(np.asarray([value], np.float32), name) for name, value in (weights or {}).items()]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], floats)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cutter(*text: str, weights: dict[str, float] | None = None) -> PieceCutter:
    return PieceCutter(read_content(model(*text, weights=weights).SerializeToString()))


def cut(file: PieceCutter, output: str, *inputs: str, stop: str = "") -> Piece:
    piece = file.cut([output], inputs, lambda name: name == stop)
    assert piece is not None
    return piece


def test_a_piece_goes_from_its_outputs_to_its_inputs_and_initializers() -> None:
    file = cutter("a = Relu(x)", "b = Add(a, w)", "c = Mul(b, v)", "y = Neg(c)", weights={"w": 1, "v": 2, "u": 3})
    piece = cut(file, "c", "a")
    assert [node.op_type for node in piece.nodes] == ["Add", "Mul"]
    assert (piece.inputs, piece.outputs, set(piece.initializers)) == (("a",), ("c",), {"w", "v"})
    assert file.constant_bytes(piece) == 8


def test_a_value_that_is_given_otherwise_is_one_more_input() -> None:
    file = cutter("a = Relu(x)", "b = Exp(x)", "y = Add(a, b)")
    assert cut(file, "y", "a", stop="b").inputs == ("a", "b")


def test_what_no_node_makes_is_no_piece() -> None:
    assert cutter("y = Add(x, missing)").cut(["y"], ["x"], lambda name: False) is None
    assert cutter("y = Relu(x)").cut(["x"], ["x"], lambda name: False) is None


def test_a_node_with_a_subgraph_is_no_piece() -> None:
    written = model("y = If(x)")
    written.graph.node[0].attribute.append(helper.make_attribute("then_branch", written.graph))
    assert PieceCutter(read_content(written.SerializeToString())).cut(["y"], ["x"], lambda name: False) is None


def test_pieces_with_one_key_compute_the_same() -> None:
    """1. Names do not count. 2. Attributes, the content of constants, operators and the order of inputs do."""
    weights = {"w": 1.0, "same": 1.0, "other": 2.0}
    file = cutter(
        *("a = Sub(x, w)", "b = Sub(a, same)", "c = Sub(b, other)", "d = Sub(w, c)", "e = Add(d, w)"),
        *("f = Sub(a, b)", "g = Sub(b, a)", "y = Neg(g)"),
        weights=weights,
    )
    first = cut(file, "a", "x").key
    assert first == cut(file, "b", "a").key
    assert len({first, cut(file, "c", "b").key, cut(file, "d", "c").key, cut(file, "e", "d").key}) == 4
    assert cut(file, "f", "a", "b").key != cut(file, "g", "a", "b").key
    assert cut(file, "f", "a", "b").key == cut(file, "g", "b", "a").key


def test_the_reader_of_a_constant_is_found_behind_other_nodes() -> None:
    file = cutter("a = MatMul(x, k)", "b = Add(a, w)", "c = Mul(b, v)", "y = Relu(c)", weights={"k": 1, "w": 1, "v": 2})
    assert file.find_reader("y", "w") == "b"
    assert file.find_reader("y", "nobody") is None


def test_pieces_run_together_each_on_inputs_of_its_own() -> None:
    file = cutter("a = Relu(x)", "b = Add(a, w)", "y = Add(b, w)", weights={"w": 1})
    pieces = {"0/": cut(file, "a", "x"), "1/": cut(file, "b", "a"), "2/": cut(file, "y", "b")}
    feeds = {
        "0/x": np.asarray([-1, 1], np.float32),
        "1/a": np.asarray([5], np.float32),
        "2/b": np.asarray([7, 8, 9], np.float32),
    }
    results = run_session(make_session(file.join(pieces, feeds).SerializeToString()), feeds)
    assert {name: array.tolist() for name, array in results.items()} == {
        "0/a": [0, 1],
        "1/b": [6],
        "2/y": [8, 9, 10],
    }
