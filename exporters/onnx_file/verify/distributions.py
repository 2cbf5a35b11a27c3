"""Whether the outputs of a training export are distributed with its switch on as those of its graph.

The file and the graph run `RUNS` times each. Each element of an output has two numbers in each run: its mean and its
deviation over rows that are fed alike (or itself, where there are none). If both draw alike, any order of the 2 · RUNS
numbers is as likely as any other, so that all of one side are above all of the other once in C(2 · RUNS, RUNS) / 2
cases, which is 16,000,000,000,000. Nothing is assumed of the distribution, nor of how elements depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kir.exporters.onnx_file.session import Session
from kir.exporters.onnx_file.verify.runs import run_checked
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.interpreter import Plan, widened
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input, Output
from kir.numerics.cost import run_cost
from kir.numerics.feeds import random_feeds
from kir.numerics.probes import Probe, choose_probes
from kir.numerics.report import Finding
from kir.numerics.rounding_sizes import epsilon
from kir.ops.random import Dropout, RandomNormalLike

RUNS = 24
ROWS, REPEATS = 2, 1024  # rows that differ, and how often each is fed at most
MAX_WORK, MAX_BYTES = 10**9, 64 << 20  # of all runs of the graph, and of one
MAX_NUMBERS = 4096  # of one output in one run
# Differences that are rounding: parts of the largest number of an output.
VISIBLE_CHANGE, ROUNDINGS = 1e-3, 64


@dataclass(frozen=True)
class _Rows:
    """Inputs, of whose rows so many in a row are alike."""

    feeds: dict[str, Array]
    repeats: int


def switched(feeds: Mapping[str, Array], is_on: bool) -> dict[str, Array]:
    """Return feeds with the switch on or off."""
    return {**feeds, TRAINING_INPUT: np.array(is_on)}


def unseeded(graph: Graph) -> Graph:
    """Return a copy of a graph that draws other numbers at every run."""
    copy = graph.copy()
    for node in copy.order():
        if isinstance(node.op, Dropout | RandomNormalLike) and node.op.seed is not None:
            op = replace(node.op, seed=None)
            copy.replace(node.output, copy.add(op, *node.inputs, origin=node.origin).output)
    return copy


def compare_distributions(graph: Graph, session: Session, seed: int) -> tuple[list[Finding], list[Finding]]:
    """Return which outputs of a file are distributed otherwise than those of its graph, and why that is not known.

    Args:
        graph: of a training export.
        session: the file.
        seed: of the inputs.
    """
    seeds = [node.op.seed for node in graph.order() if isinstance(node.op, Dropout | RandomNormalLike)]
    given = [one for one in seeds if one is not None]
    if len(set(given)) < len(given):
        return [], [Finding("several layers draw with one seed, so that what they draw depends on each other")]
    rows = _choose_rows(graph, seed)
    if rows is None:
        return [], [Finding("not compared with the switch on, for what it costs")]
    plan = Plan(unseeded(graph))
    names = [node.op.label for node in graph.outputs if isinstance(node.op, Output)]
    off, on = switched(rows.feeds, False), switched(rows.feeds, True)
    still, expected = run_checked(session, off), plan.run(off)
    samples: list[dict[str, list[Array]]] = [{name: [] for name in names} for _ in range(2)]
    for _ in range(RUNS):
        for sample, outputs in zip(samples, (run_checked(session, on), plan.run(on)), strict=True):
            for name in names:
                sample[name].append(_numbers(outputs[name], rows))
    coarsest = _coarsest_epsilon(graph)
    found = [
        _compare(name, samples[0][name], samples[1][name], coarsest, _distance(still[name], expected[name]))
        for name in names
    ]
    return [one for one in found if one is not None], []


def _choose_rows(graph: Graph, seed: int) -> _Rows | None:
    """Return inputs that repeat each row as often as costs allow; None if even one run of all costs too much."""
    probe = choose_probes(graph, seed)[-1]
    for repeats in _fewer(REPEATS) if probe.batch is not None else ():
        sizes = {**probe.sizes, str(probe.batch): ROWS * repeats}
        cost = run_cost(graph, sizes)
        if cost.work * RUNS <= MAX_WORK and cost.bytes <= MAX_BYTES:
            feeds = random_feeds(graph, (seed, 1), sizes, bounds=probe.bounds)
            return _Rows(
                {name: _repeated(graph, probe, name, array, repeats) for name, array in feeds.items()}, repeats
            )
    return _Rows(probe.feeds(), 1) if probe.cost.work * RUNS <= MAX_WORK else None


def _fewer(number: int) -> Iterator[int]:
    while number > 1:
        yield number
        number //= 2


def _repeated(graph: Graph, probe: Probe, name: str, array: Array, repeats: int) -> Array:
    """Return an input whose first rows are repeated, if rows are what its first axis counts."""
    types = {node.op.label: node.output.type for node in graph.inputs if isinstance(node.op, Input)}
    shape = types[name].shape
    if not shape or probe.batch is None or shape[0] != symbol(probe.batch):
        return array
    return array[:ROWS].repeat(repeats, axis=0)


def _numbers(output: Array, rows: _Rows) -> Array:
    """Return the mean and the deviation of each element over rows fed alike; of texts nothing."""
    if output.dtype == object:
        return np.zeros(0)
    wide = widened(output).astype(np.float64)
    with np.errstate(all="ignore"):
        if rows.repeats > 1 and wide.ndim and len(wide) == ROWS * rows.repeats:
            alike = wide.reshape(ROWS, rows.repeats, -1)
            numbers = np.concatenate([alike.mean(axis=1).ravel(), alike.std(axis=1).ravel()])
        else:
            numbers = wide.ravel()
    return numbers[:: -(-numbers.size // MAX_NUMBERS) or 1]


def _compare(name: str, file: list[Array], graph: list[Array], coarsest: float, error: float) -> Finding | None:
    """Return what is wrong with an output; None if nothing is, or its shape depends on what is drawn."""
    if len({one.size for one in (*file, *graph)}) > 1 or not file[0].size:
        return None
    a, b = np.stack(file), np.stack(graph)
    largest = float(np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max())
    rounding = largest * max(VISIBLE_CHANGE, ROUNDINGS * coarsest) + 4 * error
    with np.errstate(invalid="ignore"):
        gap = np.maximum(a.min(axis=0) - b.max(axis=0), b.min(axis=0) - a.max(axis=0))
    gap = np.where(np.isnan(gap), -np.inf, gap)
    worst = int(gap.argmax())
    if gap[worst] <= rounding:
        return None
    here, there = (f"{numbers[:, worst].min():.3g} to {numbers[:, worst].max():.3g}" for numbers in (a, b))
    text = (
        f"with the switch on it is distributed otherwise than in the model: of {RUNS} runs each, a number is {here}, "
        f"and {there} in the model"
    )
    return Finding(text, tensor=name)


def _distance(a: Array, b: Array) -> float:
    """Return how far two results with the switch off are apart."""
    if a.dtype == object or a.shape != b.shape:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(widened(a).astype(np.float64) - b)
    return float(np.max(apart, where=np.isfinite(apart), initial=0))


def _coarsest_epsilon(graph: Graph) -> float:
    dtypes = {value.type.dtype for node in graph.order() for value in node.outputs}
    return max((epsilon(dtype.numpy) for dtype in dtypes if dtype.is_float), default=0.0)
