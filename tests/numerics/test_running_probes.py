"""Probes that run: sizes for all numbers that a graph chooses by, or for each of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kir.errors import ShapeError
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Output, constant
from kir.ir.types import DType
from kir.numerics.probes import Probe
from kir.numerics.running_probes import Runs, choose_running_probes
from kir.ops.elementwise import Cast, Equal, Mul
from tests.numerics.graphs import graph_of


def chosen_by_rate() -> Graph:
    """Return a graph of a batch of rows and a rate, which it compares with 16000."""
    graph, (x, rate) = graph_of("f32[batch, length]", "i64[]")
    high = graph.add(constant(16000)).output
    is_high = graph.add(Equal(), rate, high).output
    as_number = graph.add(Cast(DType.FLOAT32), is_high).output
    graph.add(Output("y"), graph.add(Mul(), x, as_number).output)
    return graph


def rates(probes: list[Probe]) -> set[tuple[bool, int]]:
    """Return whether each probe has the high rate, and its length."""
    return {(_rate(probe.feeds()) == 16000, probe.sizes["length"]) for probe in probes}


def _rate(feeds: Mapping[str, Array]) -> int:
    return int(next(array for array in feeds.values() if array.shape == ()))


def takes(high: int, low: int) -> Runs:
    """Return what runs on rows of one length at the high rate, and of another at others."""

    def runs(feeds: Mapping[str, Array]) -> bool:
        rows = next(array for array in feeds.values() if array.ndim == 2)
        return int(rows.shape[1]) == (high if _rate(feeds) == 16000 else low)

    return runs


@pytest.mark.parametrize(("high", "low"), [(384, 384), (512, 256)])
def test_each_number_is_met_at_a_size_that_runs(high: int, low: int) -> None:
    probes = choose_running_probes(chosen_by_rate(), 0, takes(high, low))
    assert rates(probes) == {(True, high), (False, low)}
    assert probes[0].tried > 3
    assert not probes[0].refused


def test_what_does_not_run_at_any_size_is_said() -> None:
    probes = choose_running_probes(chosen_by_rate(), 0, takes(777, 512))
    assert rates(probes) == {(False, 512)}
    assert "16000" in probes[0].refused


def test_none_that_run() -> None:
    with pytest.raises(ShapeError, match=r"ran on none of \d+ choices"):
        choose_running_probes(chosen_by_rate(), 0, lambda feeds: False)
