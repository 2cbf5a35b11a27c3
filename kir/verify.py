"""Verification: does onnxruntime compute from the written file what the model means?

The reference is the interpreter in float64 on the graph as it was lowered, before any pass. Inputs are random
(`kir.feeds`), and what an element may be off by is derived from the model itself (`kir.rounding`): the interpreter
also runs in the model's own precision with a random rounding behind every operator, and `MULTIPLE` times the largest
distance that such runs reach is allowed. Integers and booleans must be equal, infinities and NaN in the same places,
except where the perturbed runs disagree among themselves, and where the model's own precision overflows: there a result
near a finite reference is right as well. What the own precision gives without random roundings is right in any case.

onnxruntime is reached through `kir.exporters.onnx_file`, inside functions.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from kir.cost import Cost, require_runnable, run_cost
from kir.dims import Dim, Sym, symbol
from kir.errors import CrashError, FormatError, KirError, MismatchError, ShapeError, UnsupportedError
from kir.feeds import Sizes, choose_runs, choose_sizes, random_feeds, shape_of_feeds
from kir.graph import Graph, Node, Value
from kir.interpreter import Plan
from kir.mapped_files import require_unchanged
from kir.naming import symbol_name
from kir.op import Array
from kir.ops.random import Dropout
from kir.ops.structural import TRAINING_INPUT, Constant, Input, Output
from kir.rounding import MULTIPLE, RUNS, Expected, measure
from kir.types import TensorType, as_dtype, format_shape

# A binomial count leaves 6 standard deviations once in 500 million draws.
SIGMAS = 6.0
TRAINING_RUNS = 4
MIN_DRAWN = 2000  # elements, over all training runs, where a model is large enough
MAX_TRAINING_RUNS = 32
CHANGING_RUNS = 8
VISIBLE_CHANGE = 1e-3  # of the largest element of an output, far above any rounding

# The runs of the interpreter share the processor's cores where one of them computes more than this (see `kir.cost`).
THREADED_WORK = 10**8
# What they take together, where there are several.
THREADED_BYTES = 4 << 30

# Intermediate values are compared in so many groups at most, each with its own session.
BISECT_GROUPS = 16
MIN_GROUP = 64

INTERPRETER_METHOD = f"float64 interpreter; {MULTIPLE:g} times the spread of {RUNS} randomly rounded runs"

ModelFile = Path | str | bytes

# The inputs of one run, and what to expect of each output.
Run = tuple[dict[str, Array], dict[str, Expected]]


# Reports


@dataclass(frozen=True)
class OutputReport:
    """How far one output was off, over all runs.

    `max_abs`, `max_rel` and `max_ulp` (units in the last place of the output's dtype) are the largest of each kind;
    `error` and `allowed` belong to the element where their ratio is largest.
    """

    name: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    max_abs: float
    max_rel: float
    max_ulp: float
    error: float
    allowed: float
    passed: bool
    problem: str = ""

    @property
    def ratio(self) -> float:
        """The worst error as a part of what is allowed; above 1 fails."""
        return self.error / self.allowed if self.allowed else (0.0 if self.error == 0 else math.inf)


@dataclass(frozen=True)
class Divergence:
    """The first node of the graph whose value in the file leaves its bound; `node` is None when there is none."""

    op: str = ""
    layer: str = ""
    tensor: str = ""
    error: float = 0.0
    allowed: float = 0.0
    node: Node | None = None

    def __str__(self) -> str:
        if self.node is None:
            return (
                "every intermediate value of the file is within its bound of the optimised graph; if an output is not, "
                "a pass changed the result (compare with -O0), or onnxruntime does by fusing nodes, which more outputs "
                "prevent"
            )
        of = f" of layer {self.layer}" if self.layer else ""
        return f"first wrong: {self.op}{of} ({self.tensor}): error {self.error:.3g}, allowed {self.allowed:.3g}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        fields = {"op": self.op, "layer": self.layer, "tensor": self.tensor}
        return {
            "found": self.node is not None,
            **fields,
            "error": json_number(self.error),
            "allowed": json_number(self.allowed),
        }


@dataclass(frozen=True)
class VerificationReport:
    """The result of a verification. `problems` are failures that belong to no output."""

    outputs: tuple[OutputReport, ...]
    runs: int
    provider: str
    seed: int
    method: str
    fallback: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    divergence: Divergence | None = None

    @property
    def passed(self) -> bool:
        return not self.problems and all(output.passed for output in self.outputs)

    def with_divergence(self, divergence: Divergence | None) -> VerificationReport:
        """The report with what `bisect` found."""
        return dataclasses.replace(self, divergence=divergence)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; infinities and NaN as text."""
        return {
            "passed": self.passed,
            "provider": self.provider,
            "seed": self.seed,
            "runs": self.runs,
            "method": self.method,
            "outputs": [_output_json(output) for output in self.outputs],
            "fallback": list(self.fallback),
            "problems": list(self.problems),
            "divergence": None if self.divergence is None else self.divergence.to_json(),
        }

    def __str__(self) -> str:
        lines = [f"{'output':<24} {'max abs':>9} {'max rel':>9} {'max ulp':>9} {'error':>9} {'allowed':>9}  result"]
        for output in self.outputs:
            numbers = output.max_abs, output.max_rel, output.max_ulp, output.error, output.allowed
            result = "pass" if output.passed else f"FAIL {output.problem}".rstrip()
            lines.append(f"{output.name:<24} {' '.join(f'{number:>9.2g}' for number in numbers)}  {result}")
        lines += [f"FAIL {problem}" for problem in self.problems]
        lines += [f"ran on the CPU instead of {self.provider}: {node}" for node in self.fallback]
        return "\n".join(lines if self.divergence is None else [*lines, str(self.divergence)])

    def raise_if_failed(self) -> None:
        """Nothing, if everything passed.

        Raises:
            MismatchError: with the table of outputs.
        """
        if not self.passed:
            hint = "" if self.divergence else "\n--bisect names the first node that differs"
            raise MismatchError(f"onnxruntime ({self.provider}) computes something else than the model:\n{self}{hint}")


def _output_json(output: OutputReport) -> dict[str, Any]:
    numbers = {
        name: json_number(getattr(output, name)) for name in ("max_abs", "max_rel", "max_ulp", "error", "allowed")
    }
    return {**dataclasses.asdict(output), **numbers, "ratio": json_number(output.ratio)}


def json_number(number: float) -> float | str:
    """A number for JSON, which has no infinities and no NaN: those as text."""
    return number if math.isfinite(number) else str(number)


# A graph against a file


def verify_file(
    graph: Graph,
    model: ModelFile,
    provider: str = "cpu",
    seed: int = 0,
    sizes: Sequence[Mapping[str, int]] | None = None,
    runs: Iterable[Run] | None = None,
    optimize: bool = True,
) -> VerificationReport:
    """Compares what onnxruntime computes from an ONNX file with the float64 interpreter.

    A training export is compared with its switch off; then its random choices are checked, see `check_training`.

    Memory: at most 8 times the largest weight, beside libraries and activations, if the graph's weights are mapped from
    disk and the file is large and holds them inline, or as kir writes external data (`lean_model`). That is anonymous
    memory: pages of mapped files, which the kernel may drop, come on top in what tools show as resident. Weights that
    onnxruntime converts when it loads (float16 on the CPU) are copies of its own and come on top too.

    Args:
        graph: what the file should compute, before any pass.
        model: the file, or a serialized model.
        provider: onnxruntime's execution provider: "cpu", "cuda", …
        seed: of inputs and roundings.
        sizes: values for the symbolic sizes, one mapping per run; by default those of `kir.feeds.choose_sizes`.
        runs: what `expect_runs` gave, instead of computing it.
        optimize: whether onnxruntime optimises the graph when it loads it, as it does for everybody.

    Raises:
        ProviderError: the provider is not installed.
        CrashError: onnxruntime dies of the file.
        LimitError: running the graph would take too much memory.
        MismatchError: the file has other inputs or outputs, or onnxruntime cannot run it on inputs that fit.
        FormatError: onnxruntime cannot load the file.
    """
    from kir.exporters.onnx_file.mapped import lean_model
    from kir.exporters.onnx_file.session import fallback_nodes

    model = _as_file(model)
    comparison = _Comparison()
    feeds: dict[str, Array] = {}
    if runs is None:
        runs = expect_runs(graph, seed, sizes)  # before onnxruntime takes the memory that this refuses
    with lean_model(model) as lean:
        session = lean.session(provider, optimize)
        problems = _signature_problems(graph, session)
        if problems:
            raise MismatchError("the file is not of this model:\n" + "\n".join(problems))
        for feeds, expected in runs:
            comparison.add(expected, _run(session, feeds))
    require_unchanged(graph.constant_arrays())
    return VerificationReport(
        comparison.reports(),
        comparison.runs,
        provider,
        seed,
        INTERPRETER_METHOD,
        tuple(fallback_nodes(model, feeds, provider)),
        tuple(check_training(graph, model, provider, seed)),
    )


def expect_runs(graph: Graph, seed: int, sizes: Sequence[Mapping[str, int]] | None = None) -> Iterator[Run]:
    """The inputs of each run, and what to expect of the outputs. Computed one by one; several files that are compared
    with one graph can share them.

    Args: as of `verify_file`.

    Raises:
        LimitError: running the graph would take too much memory.
    """
    chosen = choose_runs(graph) if sizes is None else [(one, run_cost(graph, one)) for one in sizes]

    def runs() -> Iterator[Run]:
        reference, own = Plan(graph, wide=True), Plan(graph)
        for index, (one, cost) in enumerate(chosen):
            feeds = random_feeds(graph, [seed, index], one, feed_defaults=index > 0)
            yield feeds, _expect_outputs(reference, own, feeds, seed + index, _threads_for(cost))

    return runs()


def _expect_outputs(
    reference: Plan, own: Plan, feeds: Mapping[str, Array], seed: int, threads: int
) -> dict[str, Expected]:
    return measure(
        lambda observe: reference.run(feeds, observe),
        lambda observe: own.run(feeds, observe),
        seed,
        threads=threads,
    )


def _threads_for(cost: Cost) -> int:
    """On how many threads to run the interpreter; several only gain where arrays are large, and share the memory."""
    if cost.work <= THREADED_WORK:
        return 1
    return max(1, min(os.cpu_count() or 1, RUNS, THREADED_BYTES // cost.bytes))


def _as_file(model: ModelFile) -> Path | bytes:
    return Path(model) if isinstance(model, str) else model


def _run(session: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    from kir.exporters.onnx_file.session import run_session

    try:
        return run_session(session, feeds)
    except (UnsupportedError, CrashError):
        raise
    except KirError as error:
        raise MismatchError(
            f"onnxruntime fails on inputs that the model takes ({shape_of_feeds(feeds)}): {error}"
        ) from error


# Signatures

_ELEMENTS = {"float": "float32", "double": "float64"}


def _session_type(entry: Any) -> TensorType:
    """The type of an input or output of a session; sizes without a name get one."""
    element = entry.type.removeprefix("tensor(").removesuffix(")")
    dims = (
        size if isinstance(size, int) else symbol(symbol_name(size or f"{entry.name}_{axis}"))
        for axis, size in enumerate(entry.shape)
    )
    return TensorType(as_dtype(_ELEMENTS.get(element, element)), tuple(dims))


def _session_inputs(session: Any) -> dict[str, TensorType]:
    entries = (*session.get_inputs(), *session.get_overridable_initializers())
    return {entry.name: _session_type(entry) for entry in entries}


def _session_outputs(session: Any) -> dict[str, TensorType]:
    return {entry.name: _session_type(entry) for entry in session.get_outputs()}


def _signature_problems(graph: Graph, session: Any) -> list[str]:
    """What differs between the inputs and outputs of a graph and of a session, one line each."""
    inputs = {node.op.label: node.output.type for node in graph.inputs if isinstance(node.op, Input)}
    outputs = {node.op.label: node.output.type for node in graph.outputs if isinstance(node.op, Output)}
    return [
        *_type_problems("input", inputs, _session_inputs(session)),
        *_type_problems("output", outputs, _session_outputs(session)),
    ]


def _type_problems(role: str, expected: Mapping[str, TensorType], found: Mapping[str, TensorType]) -> Iterator[str]:
    for name in dict.fromkeys((*expected, *found)):
        if name not in found:
            yield f"{role} {name!r} of the model is missing in the file, which has {', '.join(found) or 'none'}"
        elif name not in expected:
            yield f"{role} {name!r} of the file is unknown to the model, which has {', '.join(expected) or 'none'}"
        elif not _same_type(expected[name], found[name], exact_sizes=role == "input"):
            yield f"{role} {name!r} is {found[name]} in the file and {expected[name]} in the model"


def _same_type(a: TensorType, b: TensorType, exact_sizes: bool) -> bool:
    """Names of sizes do not count. onnxruntime may know the size of an output where the model does not."""
    if a.dtype is not b.dtype or a.rank != b.rank:
        return False
    pairs = zip(a.shape, b.shape, strict=True)
    return all(_same_size(x, y) or (not exact_sizes and isinstance(x, Sym) != isinstance(y, Sym)) for x, y in pairs)


def _same_size(a: Dim, b: Dim) -> bool:
    return a == b or (isinstance(a, Sym) and isinstance(b, Sym))


# Comparing


class _Comparison:
    """Collects the worst of every output over several runs."""

    def __init__(self) -> None:
        self.runs = 0
        self._reports: dict[str, OutputReport] = {}

    def add(self, expected: Mapping[str, Expected], actual: Mapping[str, Array]) -> None:
        """Takes one run into account."""
        self.runs += 1
        for name, one in expected.items():
            report = compare(name, one, actual[name])
            self._reports[name] = _worse(self._reports[name], report) if name in self._reports else report

    def reports(self) -> tuple[OutputReport, ...]:
        return tuple(self._reports.values())


def compare(name: str, expected: Expected, actual: Array) -> OutputReport:
    """The report of one output of one run."""
    reference = expected.reference
    if actual.shape != reference.shape:
        settled = bool(np.isfinite(expected.allowed).all())
        problem = f"shape {format_shape(actual.shape)}, expected {format_shape(reference.shape)}" if settled else ""
        return OutputReport(name, str(actual.dtype), (actual.shape,), 0, 0, 0, 0, 0, not settled, problem)
    errors = _errors(expected, actual)
    wrong = ~(errors <= expected.allowed)
    if wrong.any() and expected.unmoved is not None:
        errors = np.where(_is_own(expected.reference, expected.unmoved(), actual), 0, errors)
        wrong = ~(errors <= expected.allowed)
    with np.errstate(over="ignore"):
        ratios = np.where(errors == 0, 0, errors / np.where(expected.allowed > 0, expected.allowed, 1e-300))
    worst = int(ratios.argmax()) if ratios.size else 0
    counted = np.where(np.isfinite(expected.allowed), errors, 0).ravel()
    size = np.abs(reference.astype(np.float64)).ravel() if reference.dtype != object else np.ones(reference.size)
    relative = np.divide(counted, size, out=np.zeros_like(counted), where=(size > 0) & np.isfinite(size))
    with np.errstate(over="ignore"):  # near 0 the last place of a float64 is denormal
        ulps = counted / _last_place(actual.dtype, size)
    return OutputReport(
        name,
        str(actual.dtype),
        (actual.shape,),
        float(counted.max(initial=0)),
        float(relative.max(initial=0)),
        float(ulps.max(initial=0)),
        float(errors.flat[worst]) if errors.size else 0.0,
        float(expected.allowed.flat[worst]) if errors.size else 0.0,
        not wrong.any(),
        f"in {int(wrong.sum())} of {wrong.size} elements" if wrong.any() else "",
    )


def _errors(expected: Expected, actual: Array) -> Array:
    """Distances from the reference; infinite where one side only is NaN or infinite.

    0 where nothing is settled, and for what is right because the model's own precision overflows.
    """
    if actual.dtype == object or actual.dtype.kind in "US":
        return np.asarray(actual != expected.reference, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        wide = actual.astype(np.float64)
        errors = np.abs(wide - expected.reference.astype(np.float64))
        if actual.dtype.kind in "iu":  # float64 cannot tell large integers apart
            errors = np.where(actual == expected.reference, 0, np.maximum(errors, 1))
    errors = np.where(np.isnan(errors), np.inf, errors)
    for special in expected.special:
        same = (wide == special) | (np.isnan(wide) & np.isnan(special))
        errors = np.where((special != 0) & same, 0, errors)
    if expected.vanishing is not None:
        errors = np.where(expected.vanishing & (wide == 0), 0, errors)
    if expected.special:
        errors = np.where(_is_right_overflow(expected, wide, actual.dtype), 0, errors)
    return np.asarray(np.where(np.isinf(expected.allowed), 0, errors))


def _is_right_overflow(expected: Expected, wide: Array, dtype: np.dtype[Any]) -> Array:
    """Where the model's own precision overflows, and so does the result, in another way that is right.

    1. It is an infinity because the reference does not fit.
    2. One is NaN and the other an infinity: of what has overflowed, the order of operations makes the one or the other.
    """
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    too_large = np.abs(expected.reference) + expected.allowed > float(info.max)
    is_rounded = too_large & (wide == np.copysign(np.inf, expected.reference))
    return np.asarray(expected.overflows & (is_rounded | _is_other_overflow(wide, expected.special[0])))


def _is_other_overflow(wide: Array, special: Array) -> Array:
    """Where neither is finite, given that the second is not, and one of the two is NaN."""
    return ~np.isfinite(wide) & (np.isnan(wide) | np.isnan(special))


def _is_own(reference: Array, own: Array, actual: Array) -> Array:
    """Where a result is what the model's own precision gives, or, if that overflows, NaN instead of an infinity or the
    other way round."""
    if own.shape != actual.shape:
        return np.zeros(actual.shape, bool)
    if own.dtype == object or not as_dtype(own.dtype).is_float:
        return np.asarray(actual == own)
    wide, special = actual.astype(np.float64), own.astype(np.float64)
    overflows = ~np.isfinite(special) & np.isfinite(reference)
    same = (wide == special) | (np.isnan(wide) & np.isnan(special))
    return same | (overflows & _is_other_overflow(wide, special))


def _last_place(dtype: np.dtype[Any], size: Array) -> Array:
    """The distance of neighbouring floats at a magnitude; 1 for integers."""
    if not as_dtype(dtype).is_float:
        return np.ones_like(size)
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    finite = np.where(np.isfinite(size), size, 1)
    exponents = np.floor(np.log2(np.maximum(finite, float(info.tiny))))
    return np.asarray(np.exp2(exponents) * float(info.eps))


def _worse(a: OutputReport, b: OutputReport) -> OutputReport:
    first, second = (a, b) if (not a.passed, a.ratio) >= (not b.passed, b.ratio) else (b, a)
    return dataclasses.replace(
        first,
        shapes=(*a.shapes, *b.shapes),
        max_abs=max(a.max_abs, b.max_abs),
        max_rel=max(a.max_rel, b.max_rel),
        max_ulp=max(a.max_ulp, b.max_ulp),
        passed=first.passed and second.passed,
    )


# Training exports


def check_training(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> list[str]:
    """What is wrong with the random choices of a training export, in words; nothing if the graph has none.

    The file runs with the switch off and on: each output that dropping changes in the interpreter must change.

    Then every place where the file draws (its Dropout and Bernoulli nodes) becomes an output, and the file runs a few
    times with the switch on. That alone would not do: onnxruntime takes out some Dropouts that are no outputs. For
    each layer that drops:

    1. The file draws in it at all.
    2. Of the elements that were not 0 before, the fraction that is not 0 after is 1 - rate, within six standard
       deviations of the binomial distribution.
    3. Two runs draw differently.
    4. A Dropout node multiplies what it keeps by 1 / (1 - rate).
    """
    rates = _dropout_rates(graph)
    if not rates:
        return []
    from kir.exporters.onnx_file.mapped import lean_model
    from kir.exporters.onnx_file.probe import Draw, find_draws

    by_layer: dict[str, list[Draw]] = {}
    # The second sizes, with a batch of several: where these take too much memory, there are only the first.
    feeds = random_feeds(graph, [seed, 0], choose_sizes(graph)[:2][-1])
    with lean_model(_as_file(model)) as lean:
        still = _still_outputs(graph, lean.session(provider), feeds)
        proto = lean.load()
        for draw in find_draws(proto):
            by_layer.setdefault(draw.layer, []).append(draw)
        draws = [draw for layer in rates for draw in by_layer.get(layer, ())]
        wanted = [name for draw in draws for name in (draw.source, draw.result) if name is not None]
        session = lean.session_with(proto, list(dict.fromkeys(wanted)), provider)
        problems = [f"nothing is dropped at random in layer {layer}" for layer in rates if layer not in by_layer]
        tallies = _tally_draws(session, feeds, draws, rates)
    problems += [f"the switch {TRAINING_INPUT!r} does not change output {name!r}, as dropping would" for name in still]
    for draw, tally in zip(draws, tallies, strict=True):
        problems += [f"layer {draw.layer}: {problem}" for problem in tally.problems()]
    return problems


def _switched(feeds: Mapping[str, Array], is_on: bool) -> dict[str, Array]:
    return {**feeds, TRAINING_INPUT: np.array(is_on)}


def _still_outputs(graph: Graph, session: Any, feeds: Mapping[str, Array]) -> list[str]:
    """Outputs that the switch does not change in a session, although it does in the interpreter.

    The session has `MAX_TRAINING_RUNS` to change an output; one that stays must change in each of `CHANGING_RUNS` of
    the interpreter. Of outputs that change in a part p of all runs, so many are blamed in error: p^8 (1 - p)^32, which
    is 2e-9 at most, as rare as `SIGMAS`.
    """
    still = _outputs_behind_drops(graph)
    off = _run(session, _switched(feeds, False))
    for _ in range(MAX_TRAINING_RUNS):
        if not still:
            return []
        on = _run(session, _switched(feeds, True))
        still = [name for name in still if not _differ(on[name], off[name])]
    plan = Plan(_unseeded(graph))
    off = plan.run(_switched(feeds, False))
    for _ in range(CHANGING_RUNS):
        on = plan.run(_switched(feeds, True))
        still = [name for name in still if _differ(on[name], off[name], VISIBLE_CHANGE)]
    return still


def _outputs_behind_drops(graph: Graph) -> list[str]:
    """The outputs that depend on something that is dropped when the switch is on."""
    behind: set[Value] = set()
    for node in graph.order():
        if _drops(node) or not behind.isdisjoint(value for value in node.inputs if value is not None):
            behind.update(node.outputs)
    return [
        node.op.label for node in graph.outputs if isinstance(node.op, Output) and not behind.isdisjoint(node.inputs)
    ]


def _unseeded(graph: Graph) -> Graph:
    """A copy whose Dropouts draw anew in every run."""
    copy = graph.copy()
    for node in copy.order():
        if isinstance(node.op, Dropout) and node.op.seed is not None:
            op = dataclasses.replace(node.op, seed=None)
            copy.replace(node.output, copy.add(op, *node.inputs, origin=node.origin).output)
    return copy


def _differ(a: Array, b: Array, tolerance: float = 0.0) -> bool:
    """Whether an element differs by more than a part of the largest one."""
    if a.shape != b.shape or a.dtype == object or not as_dtype(a.dtype).is_float:
        return not np.array_equal(a, b)
    a, b = _wide(a), _wide(b)
    largest = np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=0)
    return not np.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)


def _tally_draws(
    session: Any, feeds: Mapping[str, Array], draws: Sequence[Any], rates: Mapping[str, float]
) -> list[_Tally]:
    """What each place kept, over enough runs with the switch on."""
    feeds = _switched(feeds, True)
    tallies = [_Tally(rates[draw.layer]) for draw in draws]
    for run in range(MAX_TRAINING_RUNS):
        if run >= TRAINING_RUNS and all(tally.total >= MIN_DRAWN for tally in tallies):
            break
        values = feeds | _run(session, feeds)
        for draw, tally in zip(draws, tallies, strict=True):
            tally.add(None if draw.source is None else values.get(draw.source), values[draw.result])
    return tallies


def _dropout_rates(graph: Graph) -> dict[str, float]:
    """Layers that drop when the switch is on, with their rates."""
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
    """How many elements one place kept, over several runs."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.total = self._kept = self._runs = 0
        self._patterns: set[bytes] = set()
        self._scale_error = 0.0

    def add(self, source: Array | None, result: Array) -> None:
        kept = result != 0
        counted = np.ones_like(kept) if source is None else source != 0
        self._runs += 1
        self.total += int(counted.sum())
        self._kept += int((kept & counted).sum())
        self._patterns.add(np.packbits(kept).tobytes())
        if source is not None and self._rate < 1 and (kept & counted).any():
            ratio = result[kept & counted].astype(np.float64) / source[kept & counted].astype(np.float64)
            self._scale_error = max(self._scale_error, float(np.abs(ratio * (1 - self._rate) - 1).max()))

    def problems(self) -> Iterator[str]:
        expected = self.total * (1 - self._rate)
        deviation = math.sqrt(self.total * self._rate * (1 - self._rate))
        if abs(self._kept - expected) > SIGMAS * deviation + 1:
            yield f"{self._kept} of {self.total} elements were kept; expected {expected:.0f} ± {SIGMAS * deviation:.0f}"
        if len(self._patterns) == 1 and self.total / self._runs * min(self._rate, 1 - self._rate) > SIGMAS**2:
            yield f"the same elements were kept in {self._runs} runs; expected different ones"
        if self._scale_error > 0.01:
            yield f"what is kept is off by a factor of {1 + self._scale_error:.3g}; expected 1 / (1 - rate)"


# Bisection


def bisect(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> Divergence:
    """The first node whose value in the file leaves its bound.

    Every value that the file computes becomes an output, and is compared with the float64 interpreter on the graph
    that was written. onnxruntime does not fuse nodes over a value that is an output, so an error of such a fusion is
    not found; nor is one of a pass, since it is part of the graph. Memory: a sixteenth of all values at once, and the
    model (under 2 GiB).

    Args:
        graph: the graph that was written, behind the passes.
        model: the file.
        provider: as in `verify_file`.
        seed: as in `verify_file`: the same inputs are used.

    Raises:
        FormatError: the file was not written from this graph.
    """
    for errors in _errors_by_group(graph, model, provider, seed):
        for value, report in errors.items():
            if not report.passed:
                layer = "" if value.node.origin is None else str(value.node.origin)
                return Divergence(str(value.node.op), layer, report.name, report.error, report.allowed, value.node)
    return Divergence()


def node_errors(graph: Graph, model: ModelFile, provider: str = "cpu", seed: int = 0) -> dict[Value, OutputReport]:
    """How far every value that the file computes is from its bound: what `bisect` looks at, for all nodes.

    Args and errors: as for `bisect`.
    """
    found: dict[Value, OutputReport] = {}
    for errors in _errors_by_group(graph, model, provider, seed):
        found |= errors
    return found


def _errors_by_group(graph: Graph, model: ModelFile, provider: str, seed: int) -> Iterator[dict[Value, OutputReport]]:
    """The reports of one group of values after the other, in the order of the graph."""
    from kir.exporters.onnx_file.build import value_names
    from kir.exporters.onnx_file.probe import computed_names, expose, load_model, opset_of
    from kir.exporters.onnx_file.session import make_session

    proto = load_model(_as_file(model))
    names = value_names(graph, opset_of(proto))
    values = [value for node in graph.order() if _is_computed(node) for value in node.outputs if value in names]
    present = computed_names(proto) | _input_names(graph)
    missing = [names[value] for value in values if names[value] not in present]
    if missing:
        raise FormatError(f"the file has no value {missing[0]!r}: it was not written from this graph; export it again")
    runs = [
        random_feeds(graph, [seed, index], sizes, feed_defaults=index > 0)
        for index, sizes in enumerate(choose_sizes(graph))
    ]
    size = max(MIN_GROUP, -(-len(values) // BISECT_GROUPS))
    for start in range(0, len(values), size):
        group = values[start : start + size]
        session = make_session(expose(proto, list(dict.fromkeys(names[value] for value in group))), provider)
        yield _errors_of_group(graph, group, names, session, runs, seed)


def _is_computed(node: Node) -> bool:
    return not isinstance(node.op, Input | Output | Constant)


def _input_names(graph: Graph) -> set[str]:
    return {node.op.label for node in graph.inputs if isinstance(node.op, Input)}


def _errors_of_group(
    graph: Graph,
    group: Sequence[Value],
    names: Mapping[Value, str],
    session: Any,
    runs: Sequence[Mapping[str, Array]],
    seed: int,
) -> dict[Value, OutputReport]:
    reference, own = Plan(graph, wide=True, keep=group), Plan(graph, keep=group)
    worst: dict[Value, OutputReport] = {}
    for index, feeds in enumerate(runs):
        expected = _expect_kept(reference, own, feeds, seed + index)
        actual = dict(feeds) | _run(session, feeds)
        for value in group:
            report = compare(names[value], expected[value], actual[names[value]])
            worst[value] = _worse(worst[value], report) if value in worst else report
    return worst


def _expect_kept(reference: Plan, own: Plan, feeds: Mapping[str, Array], seed: int) -> dict[Value, Expected]:
    return measure(
        lambda observe: reference.run_kept(feeds, observe), lambda observe: own.run_kept(feeds, observe), seed
    )


# Two graphs


def verify_graphs(a: Graph, b: Graph, seed: int = 0) -> VerificationReport:
    """Compares what the interpreter computes from the second graph with the first one in float64.

    Args:
        a: the reference, which says how much rounding is allowed.
        b: a graph with the same inputs and outputs.
        seed: of inputs and roundings.

    Raises:
        MismatchError: the second graph fails on inputs that the first takes.
        ShapeError: no sizes were found with which the first works.
        UnsupportedError: a graph has an operator that only a runtime knows.
    """
    comparison = _Comparison()
    reference, own, other = Plan(a, wide=True), Plan(a), Plan(b)
    for index, (sizes, cost) in enumerate(choose_runs(a)):
        require_runnable(b, sizes)
        feeds = random_feeds(a, [seed, index], sizes, feed_defaults=index > 0)
        expected = _expect_outputs(reference, own, feeds, seed + index, _threads_for(cost))
        try:
            actual = other.run(feeds)
        except ShapeError as error:
            raise MismatchError(
                f"the second model fails on inputs that the first takes ({shape_of_feeds(feeds)}): {error}"
            ) from error
        comparison.add(expected, actual)
    require_unchanged([*a.constant_arrays(), *b.constant_arrays()])
    return VerificationReport(comparison.reports(), comparison.runs, "interpreter", seed, INTERPRETER_METHOD)


# Two files


def verify_onnx_files(a: ModelFile, b: ModelFile, provider: str = "cpu", seed: int = 0) -> VerificationReport:
    """Compares what onnxruntime computes from two ONNX files.

    There is no reference in a wider precision here. The first file takes its place, and how much rounding it causes
    is estimated from outside: it runs a few times with inputs and weights moved by up to one rounding. This bound
    misses rounding that happens between nodes only, so that files of very different operators may need a look.

    Raises:
        MismatchError: the files have different inputs or outputs, or the second cannot run what the first can.
        ProviderError: the provider is not installed.
        FormatError: a file cannot be loaded.
    """
    from kir.exporters.onnx_file.probe import index_bounds, load_model, move_weights
    from kir.exporters.onnx_file.session import make_session, run_session

    a, b = _as_file(a), _as_file(b)
    first, second = make_session(a, provider), make_session(b, provider)
    problems = [
        *_type_problems("input", _session_inputs(first), _session_inputs(second)),
        *_type_problems("output", _session_outputs(first), _session_outputs(second)),
    ]
    if problems:
        raise MismatchError("the second file has another signature than the first:\n" + "\n".join(problems))
    proto = load_model(a)
    graph, bounds = _signature_graph(first), index_bounds(proto)

    def feeds_of(sizes: Sizes, index: int) -> dict[str, Array]:
        return random_feeds(graph, [seed, index], sizes, feed_defaults=index > 0, bounds=bounds)

    def accepts(sizes: Sizes) -> bool:
        try:
            run_session(first, feeds_of(sizes, 0))
        except ShapeError:
            return False
        return True

    generators = [np.random.default_rng([seed, index, 1]) for index in range(RUNS)]
    moved = [make_session(move_weights(proto, generator), provider) for generator in generators]
    comparison = _Comparison()
    for index, sizes in enumerate(choose_sizes(graph, accepts)):
        feeds = feeds_of(sizes, index)
        comparison.add(_expect_moved(first, moved, feeds, generators), _run(second, feeds))
    return VerificationReport(
        comparison.reports(),
        comparison.runs,
        provider,
        seed,
        f"the first file; {MULTIPLE:g} times the spread of {RUNS} runs with inputs and weights moved by a rounding",
    )


def _signature_graph(session: Any) -> Graph:
    """A graph with the inputs of a session and nothing else."""
    graph = Graph("signature")
    for name, type in _session_inputs(session).items():
        graph.add(Input(name, type))
    return graph


def _expect_moved(
    session: Any, moved: Sequence[Any], feeds: Mapping[str, Array], generators: Sequence[np.random.Generator]
) -> dict[str, Expected]:
    """What to expect of the second file, from the first and from copies of it with moved weights."""
    from kir.rounding import RandomRounding

    remaining = iter(zip(moved, generators, strict=True))

    def reference(observe: Any) -> dict[str, Array]:
        return {name: _wide(array) for name, array in _run(session, feeds).items()}

    def own(observe: Any) -> dict[str, Array]:
        if observe is None:
            return _run(session, feeds)
        copy, generator = next(remaining)
        rounding = RandomRounding(generator)
        return _run(copy, {name: rounding.move_relative(array) for name, array in feeds.items()})

    return measure(reference, own, 0, len(moved))


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype != object and as_dtype(array.dtype).is_float else array
