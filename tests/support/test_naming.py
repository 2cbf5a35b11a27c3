"""Names that are handed out once, and paths."""

from __future__ import annotations

from kir.support.naming import Names, join_path


def test_a_taken_name_gets_the_first_free_suffix() -> None:
    names = Names(["x", "x_2"])
    assert [names.unique("x") for _ in range(3)] == ["x_1", "x_3", "x_4"]
    assert names.unique("x_1") == "x_1_1"


def test_many_equal_names_are_not_quadratic() -> None:
    names = Names()
    assert len({names.unique("Relu") for _ in range(100_000)}) == 100_000


def test_join_leaves_out_an_empty_path() -> None:
    assert (join_path("a/b", "Gemm"), join_path("", "Gemm")) == ("a/b/Gemm", "Gemm")
