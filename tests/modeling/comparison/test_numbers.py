"""Results: compared when they can be, by the names of the first model; and why not when they cannot."""

from __future__ import annotations

from kir.ir.graph import Graph
from kir.ir.types import parse_type
from kir.modeling.comparison import compare_graphs
from kir.ops.elementwise import Gelu, Relu, Tanh
from kir.ops.opaque import Opaque
from tests.modeling.comparison.graphs import Layers, chain


def test_equal_graphs_are_not_run() -> None:
    numbers = compare_graphs(chain(["a", "b"]), chain(["a", "b"])).numbers
    assert numbers.report is None
    assert "equal graphs" in numbers.reason
    assert not numbers.differs


def test_other_weights_give_other_numbers() -> None:
    comparison = compare_graphs(chain(["a", "b"]), chain(["a", "b"], seed=1), seed=3)
    assert comparison.differences == ("weights", "numbers")
    report = comparison.numbers.report
    assert report is not None
    assert (report.runs, report.seed) == (3, 3)
    assert report.outputs[0].max_abs > report.outputs[0].allowed > 0


def test_another_structure_may_give_the_same_numbers() -> None:
    a, b = Layers().dense("a", 0), Layers().dense("a", 0).layer("again", Relu())
    comparison = compare_graphs(a.finish(), b.finish())
    assert comparison.differences == ("structure",)
    assert comparison.numbers.report is not None
    assert comparison.numbers.report.passed


def test_renamed_ends_are_fed_alike() -> None:
    a = Layers("x").dense("a", 0).layer("t", Tanh()).finish("y")
    b = Layers("pixels").dense("a", 0).layer("t", Tanh()).layer("u", Gelu(False)).finish("digits")
    report = compare_graphs(a, b).numbers.report
    assert report is not None
    assert [output.name for output in report.outputs] == ["y"]
    assert not report.passed


def test_another_signature_is_a_reason_not_to_run() -> None:
    numbers = compare_graphs(chain(["a"]), Layers(type="f16[batch, 4]").dense("a", 0).finish()).numbers
    assert numbers.report is None
    assert "inputs or outputs differ" in numbers.reason


def test_run_can_be_switched_off() -> None:
    comparison = compare_graphs(chain(["a"]), chain(["a"], seed=1), run=False)
    assert comparison.differences == ("weights",)
    assert "as asked" in comparison.numbers.reason


def opaque(op_type: str) -> Graph:
    op = Opaque("com.example", op_type, 1, (), (parse_type("f32[batch, 4]"),))
    return Layers().layer("unknown", op).finish()


def test_what_only_a_runtime_knows_is_compared_but_not_run() -> None:
    comparison = compare_graphs(opaque("Magic"), opaque("Wonder"))
    assert comparison.differences == ("structure",)
    (change,) = comparison.structure.changed
    assert ("op_type", "'Magic'", "'Wonder'") in [(one.what, one.a, one.b) for one in change.changes]
    assert "only a runtime does" in comparison.numbers.reason
