"""Batches that would cost too much in float64: their rows must come out as they do alone.

The rows of a model that is run on a batch do not depend on one another, in general. So a batch is made of a row whose
results were proved, at every other place, between rows of other values; onnxruntime alone runs it, and each copy must
give what the row gave. Where it does not, the model may mix rows: then the float64 reference runs that batch, too.

Batches of images run at a small size, where the file goes with that (see `small_images`): there a row is compared with
itself alone. Where the rows come out otherwise, or cannot be told from one another, the batch runs at full size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from kir.exporters.onnx_file.verify.runs import run_checked
from kir.exporters.onnx_file.verify.small_images import load_small, rounded_alike
from kir.exporters.onnx_file.verify.subject import Subject
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

# In products: what onnxruntime computes in about a second on one core.
ENOUGH_WORK = 64 * 10**9

# A full-size batch of a model whose one row computes less takes less than loading the file once more.
CHEAP_WORK = 10**8

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
        ran: the one that did run; None if none did.
        pixels: the height and width of its images, if those of the file were made smaller for it; 0 otherwise.
        wrong_feeds: the inputs of one in which a proved row came out otherwise; None if there was none.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._graph = subject.reference
        self.ran: int | None = None
        self.pixels = 0
        self.wrong_feeds: dict[str, Array] | None = None

    def check(self, run: Run, tried: int, comparison: RunComparison) -> Iterator[Finding]:
        """Run the largest batch that is affordable, if it is larger than `tried`, and yield what was left out.

        Args:
            run: one of a single row.
            tried: the largest batch of all probes.
            comparison: takes in what the reference says of a batch whose rows came out otherwise.
        """
        name = run.probe.batch
        if name is None or tried >= LARGEST_BATCH:
            return
        axes = _batch_axes(self._graph, name)
        if axes is not None:
            if self._agree_when_small(run, axes):
                return
            for batch in (LARGEST_BATCH, 2):
                if batch > tried and self._is_affordable(run.probe, batch):
                    self._check_batch(run, batch, axes, comparison)
                    self.ran = batch
                    break
        most = max(tried, self.ran or 0)
        if most < LARGEST_BATCH:
            work = run.probe.cost.work * LARGEST_BATCH
            why = "its rows cannot be told apart" if axes is None else f"it computes {work / 1e9:.0f} billion products"
            yield Finding(f"batches of more than {most} were not run: of {LARGEST_BATCH} rows, {why}")

    def _is_affordable(self, probe: Probe, batch: int) -> bool:
        is_little = probe.cost.work * batch <= ENOUGH_WORK
        assert probe.batch is not None
        return is_little and run_cost(self._graph, {**probe.sizes, probe.batch: batch}).is_bounded

    def _agree_when_small(self, run: Run, axes: Axes) -> bool:
        """Return whether small images come out of the largest batch as they do alone, and others otherwise."""
        if run.probe.cost.work <= CHEAP_WORK:  # loading the file again takes as long
            return False
        subject = self._subject
        held = subject.written or self._graph
        for small in load_small(subject.lean, held, run.feeds, LARGEST_BATCH, subject.provider):
            alone = small.run(run.feeds)
            if alone is None:
                continue
            outputs = small.run(self._probe(run, LARGEST_BATCH, axes, small.crop(run.feeds)).feeds())
            if outputs is None:
                continue
            expected = {name: rounded_alike(row) for name, row in alone.items()}
            if not _all_agree(expected, outputs, axes, LARGEST_BATCH) or not _all_differ(expected, outputs, axes):
                return False
            self.ran, self.pixels = LARGEST_BATCH, small.pixels
            return True
        return False

    def _check_batch(self, run: Run, batch: int, axes: Axes, comparison: RunComparison) -> None:
        probe = self._probe(run, batch, axes, run.feeds)
        feeds = probe.feeds()
        outputs = run_checked(self._subject.session, feeds)
        if not _all_agree(run.expected, outputs, axes, batch):
            self.wrong_feeds = feeds
            for expected in expect_probes(self._graph, [probe], self._subject.seed):
                comparison.add(expected.expected, outputs)

    def _probe(self, run: Run, batch: int, axes: Axes, row: Mapping[str, Array]) -> RowsProbe:
        """Return a probe whose rows 1, 3, 5, … (or the second of two) are `row`, as a run had it or made smaller."""
        probe = run.probe
        assert probe.batch is not None
        sizes = {**probe.sizes, probe.batch: batch}
        shapes = {name: _with_rows(array.shape, axes.inputs[name], batch) for name, array in row.items()}
        others = replace(probe, sizes=sizes, seed=(*probe.seed, OTHER_ROWS), shapes=shapes).feeds()
        arrays: dict[str, Array] = {}
        for name, given in row.items():
            axis, array = axes.inputs[name], np.array(others[name])
            if axis is None:
                arrays[name] = given
                continue
            places = [slice(None)] * array.ndim
            places[axis] = _copies(batch)
            array[tuple(places)] = given
            arrays[name] = array
        fields = {name: getattr(probe, name) for name in ("graph", "cost", "seed", "feed_defaults", "kind", "batch")}
        return RowsProbe(**fields, sizes=sizes, purpose="a proved row among others", arrays=arrays)


def _with_rows(shape: tuple[int, ...], axis: int | None, rows: int) -> tuple[int, ...]:
    return shape if axis is None else (*shape[:axis], rows, *shape[axis + 1 :])


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


def _all_agree(rows: Mapping[str, Expected], outputs: Mapping[str, Array], axes: Axes, batch: int) -> bool:
    """Return whether all copies of a row came out as expected of it, in all outputs."""
    return all(_rows_agree(name, one, outputs[name], axes.outputs[name], batch) for name, one in rows.items())


def _all_differ(rows: Mapping[str, Expected], outputs: Mapping[str, Array], axes: Axes) -> bool:
    """Return whether another row came out otherwise, in all outputs that have rows."""
    others = {name: np.take(outputs[name], [1], axis) for name in rows if (axis := axes.outputs[name]) is not None}
    return not any(compare(name, rows[name], other).passed for name, other in others.items())


def _rows_agree(name: str, expected: Expected, actual: Array, axis: int | None, batch: int) -> bool:
    if axis is None:
        return compare(name, expected, actual).passed
    if actual.ndim <= axis or actual.shape[axis] != batch:
        return False
    rows = range(batch)[_copies(batch)]
    return all(compare(name, expected, np.take(actual, [row], axis)).passed for row in rows)
