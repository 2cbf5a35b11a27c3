"""Checks whether a training export drops at random, as often as its layers say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.probe import Draw, find_draws
from kir.exporters.onnx_file.session import Session
from kir.exporters.onnx_file.verify.distributions import VISIBLE_CHANGE, compare_distributions, switched, unseeded
from kir.exporters.onnx_file.verify.runs import ModelFile, as_file, run_checked
from kir.ir.graph import Graph, Node, Value
from kir.ir.interpreter import Plan, widened
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input, Output
from kir.ir.types import as_dtype
from kir.numerics.probes import choose_probes
from kir.numerics.report import Finding, Statement
from kir.numerics.rounding_sizes import finfo
from kir.ops.random import Dropout, RandomNormalLike
from kir.support.text import counted

# A binomial count leaves 6 standard deviations once in 500 million draws.
SIGMAS = 6.0
TRAINING_RUNS = 4
MIN_DRAWN = 2000  # elements, over all training runs, where a model is large enough
MAX_TRAINING_RUNS = 32
CHANGING_RUNS = 8
LUCK = 20.0  # -log of the probability of what counts as luck: 2e-9
MIN_REPEATED = 8  # numbers of a run; fewer may be the same by luck
ROUNDED = 1e-6  # of numbers that are drawn in float32


def check_training(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> Statement | None:
    """Return what is to be said of the random choices of a training export; None if the graph has none.

    The file runs with the switch off and on: each output that dropping changes in the interpreter must change, and be
    distributed as in the interpreter, see `compare_distributions`.

    Then every place where the file draws (its Dropout, Bernoulli and RandomNormalLike nodes) becomes an output, and the
    file runs a few times with the switch on. That alone would not do: onnxruntime takes out some Dropouts that are no
    outputs. For each layer that drops:

    1. The file draws in it at all.
    2. Of the elements that were not 0 before, the fraction that is not 0 after is 1 - rate, within six standard
       deviations of the binomial distribution.
    3. Two runs draw differently.
    4. A Dropout node multiplies what it keeps by 1 / (1 - rate).

    For each layer that draws normal numbers, their mean and their deviation are those of the layer.

    Where another tool took the layers' names out of the file, its places that drop are paired with the layers by how
    much they keep; what it draws normal numbers with may be scaled later, and the distribution of the outputs decides.
    """
    rates, normals = _dropout_rates(graph), _normals(graph)
    if not rates and not normals:
        return None
    feeds = choose_probes(graph, seed)[-1].feeds()
    unclear: list[Finding] = []
    problems: list[Finding] = []
    with lean_model(as_file(model)) as lean:
        session = lean.session(provider)
        still = _still_outputs(graph, session, feeds) if rates else []
        if _has_switch(graph) and not still:
            problems, unclear = compare_distributions(graph, session, seed)
        proto = lean.load()
        places = find_draws(proto)
        has_names = not places or any(draw.layer for draw in places)
        draws = [draw for draw in places if not draw.is_normal and (draw.layer in rates or not has_names)]
        drawn = [draw for draw in places if draw.is_normal and draw.layer in normals]
        wanted = [name for draw in (*draws, *drawn) for name in (draw.source, draw.result) if name is not None]
        present = {output.name for output in proto.graph.output}
        session = lean.session_with([name for name in dict.fromkeys(wanted) if name not in present], provider)
        tallies, spreads = _tally_draws(session, switched(feeds, True) if _has_switch(graph) else feeds, draws, drawn)
    layers = [draw.layer for draw in draws] if has_names else _pair_layers(tallies, rates)
    covered = _covered(len(draws) + len(drawn), len({*rates, *normals}))
    if len(layers) < len(draws):
        dropping = counted(len(rates), "layer")
        text = (
            f"the file does not say which of its {counted(len(draws), 'place')} drops at random for which of {dropping}"
        )
        return Statement("training", covered, tuple(problems), (Finding(text), *unclear))
    problems += [Finding("nothing is dropped at random", layer) for layer in rates if layer not in layers]
    named = {draw.layer for draw in drawn}
    if has_names:
        problems += [Finding("no normal numbers are drawn", layer) for layer in normals if layer not in named]
    text = f"the switch {TRAINING_INPUT!r} does not change this output, as dropping would"
    problems += [Finding(text, tensor=name) for name in still]
    for layer, tally in zip(layers, tallies, strict=True):
        problems += [Finding(problem, layer) for problem in tally.problems(rates[layer])]
    for draw, spread in zip(drawn, spreads, strict=True):
        problems += [Finding(problem, draw.layer) for problem in spread.problems(normals[draw.layer])]
    return Statement("training", covered, tuple(problems), tuple(unclear))


def _covered(places: int, layers: int) -> str:
    return (
        f"how {counted(layers, 'layer')} drop at random and scale what they keep, or draw numbers, in "
        f"{counted(places, 'place')} of the file, and how the outputs are distributed with the switch on"
    )


def _has_switch(graph: Graph) -> bool:
    return any(_is_switch(node.output) for node in graph.inputs)


def _pair_layers(tallies: Sequence[_Tally], rates: Mapping[str, float]) -> list[str]:
    """Return which layer each place belongs to if as many drop: the one that keeps most to that of the lowest rate."""
    if len(tallies) != len(rates):
        return []
    by_kept = sorted(range(len(tallies)), key=lambda index: -tallies[index].kept_part)
    layers = dict(zip(by_kept, sorted(rates, key=lambda layer: rates[layer]), strict=True))
    return [layers[index] for index in range(len(tallies))]


def _still_outputs(graph: Graph, session: Session, feeds: Mapping[str, Array]) -> list[str]:
    """Return outputs that the switch does not change in a session, although it does in the interpreter.

    The session has `MAX_TRAINING_RUNS` to change an output; one that stays must change in each of `CHANGING_RUNS` of
    the interpreter. Of outputs that change in a part p of all runs, so many are blamed in error: p^8 (1 - p)^32, which
    is 2e-9 at most, as rare as `SIGMAS`.
    """
    still = _dropping_outputs(graph)
    off = run_checked(session, switched(feeds, False))
    for _ in range(MAX_TRAINING_RUNS):
        if not still:
            return []
        on = run_checked(session, switched(feeds, True))
        still = [name for name in still if not _differ(on[name], off[name])]
    plan = Plan(unseeded(graph))
    off = plan.run(switched(feeds, False))
    for _ in range(CHANGING_RUNS):
        on = plan.run(switched(feeds, True))
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


def _differ(a: Array, b: Array, tolerance: float = 0.0) -> bool:
    """Return whether an element differs by more than a part of the largest one."""
    if a.shape != b.shape or a.dtype == object or not as_dtype(a.dtype).is_float:
        return not np.array_equal(a, b)
    a, b = widened(a), widened(b)
    largest = np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=0)
    return not np.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)


def _tally_draws(
    session: Session, feeds: Mapping[str, Array], draws: Sequence[Draw], normals: Sequence[Draw]
) -> tuple[list[_Tally], list[_Spread]]:
    """Return what each place kept, and which numbers it drew, over enough runs."""
    tallies, spreads = [_Tally() for _ in draws], [_Spread() for _ in normals]
    for run in range(MAX_TRAINING_RUNS if draws or normals else 0):
        totals = [tally.total for tally in tallies] + [spread.total for spread in spreads]
        if run >= TRAINING_RUNS and min(totals) >= MIN_DRAWN:
            break
        values = {**feeds, **run_checked(session, feeds)}
        for draw, tally in zip(draws, tallies, strict=True):
            tally.add(None if draw.source is None else values.get(draw.source), values[draw.result])
        for draw, spread in zip(normals, spreads, strict=True):
            spread.add(values[draw.result])
    return tallies, spreads


def _dropout_rates(graph: Graph) -> dict[str, float]:
    return {node.layer_path: node.op.rate for node in graph.order() if _drops(node) and isinstance(node.op, Dropout)}


def _normals(graph: Graph) -> dict[str, RandomNormalLike]:
    return {node.layer_path: node.op for node in graph.order() if isinstance(node.op, RandomNormalLike)}


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


class _Spread:
    """The mean and the variance of the numbers that one place drew, over several runs."""

    def __init__(self) -> None:
        self.total = 0
        self._sum = self._squares = 0.0
        self._runs: list[bytes] = []

    def add(self, drawn: Array) -> None:
        wide = widened(drawn).astype(np.float64)
        self.total += wide.size
        self._sum += float(wide.sum())
        self._squares += float(np.square(wide).sum())
        if wide.size >= MIN_REPEATED:
            self._runs.append(wide.tobytes())

    def problems(self, op: RandomNormalLike) -> Iterator[str]:
        """Yield what cannot be luck: of the mean, `SIGMAS` deviations; of the variance, the bounds of Laurent and
        Massart for chi squared ("Adaptive estimation of a quadratic functional", 2000), which hold for any count.
        """
        count, mean = self.total, self._sum / max(self.total, 1)
        if not count:
            return
        if abs(mean - op.mean) > SIGMAS * op.scale / math.sqrt(count) + ROUNDED * max(abs(op.mean), op.scale):
            yield f"the mean of {count} numbers is {mean:.3g}; expected {op.mean:.3g}"
        variance = self._squares / count - 2 * mean * op.mean + op.mean**2
        low = 1 - 2 * math.sqrt(LUCK / count) - ROUNDED
        high = 1 + 2 * math.sqrt(LUCK / count) + 2 * LUCK / count + ROUNDED
        if not low * op.scale**2 <= variance <= high * op.scale**2 + (ROUNDED * op.mean) ** 2:
            deviation = math.sqrt(max(variance, 0))
            yield f"the deviation of {count} numbers is {deviation:.3g}; expected {op.scale:.3g}"
        if len(set(self._runs)) < len(self._runs) and op.scale:
            yield "the same numbers were drawn in two runs; expected different ones"
