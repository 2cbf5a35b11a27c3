"""Checks whether a training export drops at random, as often as its layers say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.probe import Draw, find_draws
from kir.exporters.onnx_file.session import Session
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file, run_checked
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input, Output
from kir.ir.types import as_dtype
from kir.numerics.interpreter import Plan, widened
from kir.numerics.probes import choose_probes
from kir.numerics.report import Finding, Statement
from kir.numerics.rounding_sizes import finfo
from kir.ops.random import Dropout
from kir.support.text import counted

# A binomial count leaves 6 standard deviations once in 500 million draws.
SIGMAS = 6.0
TRAINING_RUNS = 4
MIN_DRAWN = 2000  # elements, over all training runs, where a model is large enough
MAX_TRAINING_RUNS = 32
CHANGING_RUNS = 8
VISIBLE_CHANGE = 1e-3  # of the largest element of an output, far above any rounding


def check_training(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> Statement | None:
    """Return what is to be said of the random choices of a training export; None if the graph has none.

    The file runs with the switch off and on: each output that dropping changes in the interpreter must change.

    Then every place where the file draws (its Dropout and Bernoulli nodes) becomes an output, and the file runs a few
    times with the switch on. That alone would not do: onnxruntime takes out some Dropouts that are no outputs. For
    each layer that drops:

    1. The file draws in it at all.
    2. Of the elements that were not 0 before, the fraction that is not 0 after is 1 - rate, within six standard
       deviations of the binomial distribution.
    3. Two runs draw differently.
    4. A Dropout node multiplies what it keeps by 1 / (1 - rate).

    Where another tool took the layers' names out of the file, its places are paired with the layers by how much they
    keep.
    """
    rates = _dropout_rates(graph)
    if not rates:
        return None
    feeds = choose_probes(graph, seed)[-1].feeds()
    with lean_model(as_file(model)) as lean:
        still = _still_outputs(graph, lean.session(provider), feeds)
        proto = lean.load()
        draws = find_draws(proto)
        has_names = not draws or any(draw.layer for draw in draws)
        draws = [draw for draw in draws if draw.layer in rates or not has_names]
        wanted = [name for draw in draws for name in (draw.source, draw.result) if name is not None]
        present = {output.name for output in proto.graph.output}
        session = lean.session_with([name for name in dict.fromkeys(wanted) if name not in present], provider)
        tallies = _tally_draws(session, feeds, draws)
    layers = [draw.layer for draw in draws] if has_names else _pair_layers(tallies, rates)
    places, dropping = counted(len(draws), "place"), counted(len(rates), "layer")
    covered = f"how much {dropping} drop at random, in {places} of the file, and how they scale what they keep"
    if len(layers) < len(draws):
        unnamed = Finding(f"the file does not say which of its {places} drops at random for which of {dropping}")
        return Statement("training", covered, not_shown=(unnamed,))
    problems = [Finding("nothing is dropped at random", layer) for layer in rates if layer not in layers]
    text = f"the switch {TRAINING_INPUT!r} does not change this output, as dropping would"
    problems += [Finding(text, tensor=name) for name in still]
    for layer, tally in zip(layers, tallies, strict=True):
        problems += [Finding(problem, layer) for problem in tally.problems(rates[layer])]
    return Statement("training", covered, tuple(problems))


def _pair_layers(tallies: Sequence[_Tally], rates: Mapping[str, float]) -> list[str]:
    """Return which layer each place belongs to if as many drop: the one that keeps most to that of the lowest rate."""
    if len(tallies) != len(rates):
        return []
    by_kept = sorted(range(len(tallies)), key=lambda index: -tallies[index].kept_part)
    layers = dict(zip(by_kept, sorted(rates, key=lambda layer: rates[layer]), strict=True))
    return [layers[index] for index in range(len(tallies))]


def _switched(feeds: Mapping[str, Array], is_on: bool) -> dict[str, Array]:
    return {**feeds, TRAINING_INPUT: np.array(is_on)}


def _still_outputs(graph: Graph, session: Session, feeds: Mapping[str, Array]) -> list[str]:
    """Return outputs that the switch does not change in a session, although it does in the interpreter.

    The session has `MAX_TRAINING_RUNS` to change an output; one that stays must change in each of `CHANGING_RUNS` of
    the interpreter. Of outputs that change in a part p of all runs, so many are blamed in error: p^8 (1 - p)^32, which
    is 2e-9 at most, as rare as `SIGMAS`.
    """
    still = _dropping_outputs(graph)
    off = run_checked(session, _switched(feeds, False))
    for _ in range(MAX_TRAINING_RUNS):
        if not still:
            return []
        on = run_checked(session, _switched(feeds, True))
        still = [name for name in still if not _differ(on[name], off[name])]
    plan = Plan(_unseeded(graph))
    off = plan.run(_switched(feeds, False))
    for _ in range(CHANGING_RUNS):
        on = plan.run(_switched(feeds, True))
        still = [name for name in still if _differ(on[name], off[name], VISIBLE_CHANGE)]
    return still


def _dropping_outputs(graph: Graph) -> list[str]:
    """Return the outputs that depend on something that is dropped when the switch is on."""
    dropping: set[Value] = set()
    for node in graph.order():
        if _drops(node) or not dropping.isdisjoint(value for value in node.inputs if value is not None):
            dropping.update(node.outputs)
    return [
        node.op.label for node in graph.outputs if isinstance(node.op, Output) and not dropping.isdisjoint(node.inputs)
    ]


def _unseeded(graph: Graph) -> Graph:
    copy = graph.copy()
    for node in copy.order():
        if isinstance(node.op, Dropout) and node.op.seed is not None:
            op = dataclasses.replace(node.op, seed=None)
            copy.replace(node.output, copy.add(op, *node.inputs, origin=node.origin).output)
    return copy


def _differ(a: Array, b: Array, tolerance: float = 0.0) -> bool:
    """Return whether an element differs by more than a part of the largest one."""
    if a.shape != b.shape or a.dtype == object or not as_dtype(a.dtype).is_float:
        return not np.array_equal(a, b)
    a, b = widened(a), widened(b)
    largest = np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=0)
    return not np.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)


def _tally_draws(session: Session, feeds: Mapping[str, Array], draws: Sequence[Draw]) -> list[_Tally]:
    """Return what each place kept, over enough runs with the switch on."""
    feeds = _switched(feeds, True)
    tallies = [_Tally() for _ in draws]
    for run in range(MAX_TRAINING_RUNS):
        if run >= TRAINING_RUNS and all(tally.total >= MIN_DRAWN for tally in tallies):
            break
        values = feeds | run_checked(session, feeds)
        for draw, tally in zip(draws, tallies, strict=True):
            tally.add(None if draw.source is None else values.get(draw.source), values[draw.result])
    return tallies


def _dropout_rates(graph: Graph) -> dict[str, float]:
    return {
        "" if node.origin is None else node.origin.path: node.op.rate
        for node in graph.order()
        if _drops(node) and isinstance(node.op, Dropout)
    }


def _drops(node: Node) -> bool:
    return isinstance(node.op, Dropout) and node.op.rate > 0 and len(node.inputs) > 1 and _is_switch(node.inputs[1])


def _is_switch(value: Value | None) -> bool:
    return value is not None and isinstance(value.node.op, Input) and value.node.op.label == TRAINING_INPUT


class _Tally:
    """The count of elements that one place kept, over several runs."""

    def __init__(self) -> None:
        self.total = self._kept = self._runs = 0
        self._patterns: set[bytes] = set()
        self._scales: list[float] = []  # the smallest and the largest of each run

    @property
    def kept_part(self) -> float:
        """How much was kept, of 1."""
        return self._kept / max(self.total, 1)

    def add(self, source: Array | None, result: Array) -> None:
        kept = result != 0
        counted = np.ones_like(kept) if source is None else source != 0
        self._runs += 1
        self.total += int(counted.sum())
        self._kept += int((kept & counted).sum())
        self._patterns.add(np.packbits(kept).tobytes())
        if source is None:
            return
        # Smaller numbers are rounded by large parts of themselves.
        is_seen = kept & (np.abs(source) >= finfo(source.dtype).tiny)
        if is_seen.any():
            ratio = widened(result[is_seen]) / widened(source[is_seen])
            self._scales += [float(ratio.min()), float(ratio.max())]

    def problems(self, rate: float) -> Iterator[str]:
        expected = self.total * (1 - rate)
        deviation = math.sqrt(self.total * rate * (1 - rate))
        if abs(self._kept - expected) > SIGMAS * deviation + 1:
            yield f"{self._kept} of {self.total} elements were kept; expected {expected:.0f} ± {SIGMAS * deviation:.0f}"
        if len(self._patterns) == 1 and self.total / self._runs * min(rate, 1 - rate) > SIGMAS**2:
            yield f"the same elements were kept in {self._runs} runs; expected different ones"
        scale_error = max((abs(scale * (1 - rate) - 1) for scale in self._scales if rate < 1), default=0)
        if scale_error > 0.01:
            yield f"what is kept is off by a factor of {1 + scale_error:.3g}; expected 1 / (1 - rate)"
