"""Batches that would cost too much in float64: their rows must come out as they do alone.

The rows of a model that is run on a batch do not depend on one another, in general. So a batch is made of a row whose
results were proved, at every other place, between rows of other values; onnxruntime alone runs it, and each copy must
give what the row gave. Where it does not, the model may mix rows: then the float64 reference runs that batch, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from kir.exporters.onnx_file.session import Session
from kir.exporters.onnx_file.verify.runs import run_checked
from kir.ir.dims import Sym
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType
from kir.numerics.compare import Run, RunComparison, compare, expect_probes
from kir.numerics.cost import run_cost
from kir.numerics.expected import Expected
from kir.numerics.inputs import sparse_inputs
from kir.numerics.probes import Probe
from kir.numerics.report import Finding
from kir.numerics.wanted_sizes import LARGEST_BATCH

# Of all batches together, in products: what onnxruntime computes in about a second on one core.
ENOUGH_WORK = 64 * 10**9

OTHER_ROWS = 9  # the seed of the rows between


@dataclass(frozen=True)
class RowsProbe(Probe):
    """A probe of given arrays."""

    arrays: Mapping[str, Array] = field(kw_only=True)

    def feeds(self) -> dict[str, Array]:
        return dict(self.arrays)


class BatchCheck:
    """Runs the batches that no probe had.

    Attributes:
        ran: those that did run.
        wrong_feeds: the inputs of one in which a proved row came out otherwise; None if there was none.
    """

    def __init__(self, graph: Graph, session: Session, seed: int) -> None:
        self._graph = graph
        self._session = session
        self._seed = seed
        self.ran: list[int] = []
        self.wrong_feeds: dict[str, Array] | None = None

    def check(self, run: Run, tried: int, comparison: RunComparison) -> Iterator[Finding]:
        """Run larger batches than `tried`, compare them, and yield what was left out.

        Args:
            run: one of a single row.
            tried: the largest batch of all probes.
            comparison: takes in what the reference says of a batch whose rows came out otherwise.
        """
        name, left = run.probe.batch, ENOUGH_WORK
        if name is None or tried >= LARGEST_BATCH:
            return
        axes = _batch_axes(self._graph, name)
        for batch in (LARGEST_BATCH, 2):
            if axes is not None and batch > tried and self._costs_at_most(run.probe, batch, left):
                left -= run.probe.cost.work * batch
                self._check_batch(run, batch, axes, comparison)
                self.ran.append(batch)
        most = max([tried, *self.ran])
        if most < LARGEST_BATCH:
            work = run.probe.cost.work * LARGEST_BATCH
            why = "its rows cannot be told apart" if axes is None else f"it computes {work / 1e9:.0f} billion products"
            yield Finding(f"batches of more than {most} were not run: of {LARGEST_BATCH} rows, {why}")

    def _costs_at_most(self, probe: Probe, batch: int, left: int) -> bool:
        is_little = probe.cost.work * batch <= left
        assert probe.batch is not None
        return is_little and run_cost(self._graph, {**probe.sizes, probe.batch: batch}).is_bounded

    def _check_batch(self, run: Run, batch: int, axes: Axes, comparison: RunComparison) -> None:
        probe = self._probe(run, batch, axes)
        feeds = probe.feeds()
        outputs = run_checked(self._session, feeds)
        if not all(
            _rows_agree(name, one, outputs[name], axes.outputs[name], batch) for name, one in run.expected.items()
        ):
            self.wrong_feeds = feeds
            for expected in expect_probes(self._graph, [probe], self._seed):
                comparison.add(expected.expected, outputs)

    def _probe(self, run: Run, batch: int, axes: Axes) -> RowsProbe:
        """Return a probe whose rows 1, 3, 5, … (or the second of two) are that of a run."""
        probe = run.probe
        assert probe.batch is not None
        sizes = {**probe.sizes, probe.batch: batch}
        others = replace(probe, sizes=sizes, seed=(*probe.seed, OTHER_ROWS)).feeds()
        arrays: dict[str, Array] = {}
        for name, row in run.feeds.items():
            axis, array = axes.inputs[name], np.array(others[name])
            if axis is None:
                arrays[name] = row
                continue
            places = [slice(None)] * array.ndim
            places[axis] = _copies(batch)
            array[tuple(places)] = row
            arrays[name] = array
        fields = {name: getattr(probe, name) for name in ("graph", "cost", "seed", "feed_defaults", "kind", "batch")}
        return RowsProbe(**fields, sizes=sizes, purpose="a proved row among others", arrays=arrays)


def _copies(batch: int) -> slice:
    """Return the places of the proved row: the last place is one of them."""
    return slice((batch + 1) % 2, batch, 2)


@dataclass(frozen=True)
class Axes:
    """The axis of the batch of each input and output; None where there is none."""

    inputs: dict[str, int | None]
    outputs: dict[str, int | None]


def _batch_axes(graph: Graph, name: str) -> Axes | None:
    """Return the axes of the batch; None if an input or output has rows otherwise than along one axis."""
    if sparse_inputs(graph):
        return None
    axes = Axes({}, {})
    for node in (*graph.inputs, *graph.outputs):
        op = node.op
        assert isinstance(op, Input | Output)
        type = node.output.type
        found = [axis for axis, dim in enumerate(type.shape) if isinstance(dim, Sym) and name in dim.names()]
        if len(found) > 1 or (found and not _is_symbol(type, found[0], name)):
            return None
        (axes.inputs if isinstance(op, Input) else axes.outputs)[op.label] = found[0] if found else None
    return axes


def _is_symbol(type: TensorType, axis: int, name: str) -> bool:
    dim = type.shape[axis]
    return isinstance(dim, Sym) and dim.name == name


def _rows_agree(name: str, expected: Expected, actual: Array, axis: int | None, batch: int) -> bool:
    if axis is None:
        return compare(name, expected, actual).passed
    if actual.ndim <= axis or actual.shape[axis] != batch:
        return False
    rows = range(batch)[_copies(batch)]
    return all(compare(name, expected, np.take(actual, [row], axis)).passed for row in rows)
