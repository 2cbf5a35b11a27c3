"""How much faster the interpreter runs a model than `onnx.reference.ReferenceEvaluator`, from the very same ONNX file.

Run with `python -m tests.benchmarks.interpreter`. kir imports the file and prepares a `Plan`, the evaluator is
constructed, and then only their runs are timed, in turns, on one thread; the best turn of each counts.

ReferenceEvaluator ignores `sequence_lens`: of masked layers its numbers are others, and it computes every step of them,
where kir computes the valid ones.
"""

from __future__ import annotations

import os

# Before NumPy is imported: on threads of its own BLAS would time the scheduler as well.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from kir import Input, Model, Sequential, passes
from kir import backend as K
from kir.exporters.onnx_file.write import to_model_proto
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.ir.interpreter import Plan
from kir.ir.structural import Input as InputOp
from kir.ir.types import BATCH
from kir.layers import Dense, Dropout
from kir.numerics.feeds import random_feeds

MODELS = Path(__file__).parents[2] / "models"
BATCHES = (1, 64)
LENGTH = 20  # of what else a model leaves open: the steps of a sequence
TURNS = 21
SECONDS = 0.005  # a turn at the least: short ones, of which the best saw nobody else on the machine
TOLERANCE = 1e-5


def make_mlp() -> Model:
    """150 times Dense, relu and Dropout."""
    blocks = [layer for _ in range(150) for layer in (Dense(32, activation="relu"), Dropout(0.2))]
    return Sequential([Input(shape=(32,), name="x"), *blocks])


def make_chain() -> Model:
    """300 elementwise operators, one behind the other, of which no pass can merge any."""
    x = y = Input(shape=(16,), name="x")
    functions: tuple[Callable[[Any], Any], ...] = (
        K.tanh,
        lambda y: y + x,
        K.sigmoid,
        lambda y: y * 0.5,
        K.sin,
        lambda y: K.maximum(y, x),
    )
    for function in itertools.islice(itertools.cycle(functions), 300):
        y = function(y)
    return Model(x, y)


def make_small() -> Model:
    """Return two Dense layers."""
    layers = [Dense(16, activation="relu"), Dense(4, activation="softmax")]
    return Sequential([Input(shape=(8,), name="x"), *layers])


def models() -> Iterator[tuple[str, Callable[[], Model], tuple[int, ...]]]:
    """Yield a name, what makes the model, and the batches to run it with."""
    for script in sorted(MODELS.glob("*.py")):
        yield script.stem, lambda script=script: load_script(script), BATCHES  # type: ignore[misc]
    yield "150 blocks", make_mlp, BATCHES
    yield "300 elementwise", make_chain, BATCHES
    yield "two Dense", make_small, BATCHES


def export(model: Model) -> ModelProto:
    """Return the file that `kir export` writes."""
    graph = model.to_graph()
    passes.run(graph, passes.pipeline())
    return to_model_proto(graph)


def make_feeds(graph: Graph, batch: int) -> dict[str, Any]:
    """Return random inputs of a batch size."""
    ops = [node.op for node in graph.inputs if isinstance(node.op, InputOp)]
    names = {name for op in ops for dim in op.type.shape if not isinstance(dim, int) for name in dim.names()}
    return random_feeds(graph, 0, dict.fromkeys(names, LENGTH) | {str(BATCH): batch})


def time_in_turns(*functions: Callable[[], Any]) -> list[float]:
    """Return the best seconds of processor time that each function takes, called as often as a turn lasts."""
    best = [math.inf] * len(functions)
    for _ in range(TURNS):
        for index, function in enumerate(functions):
            begin, calls = time.thread_time(), 0
            while (passed := time.thread_time() - begin) < SECONDS or not calls:
                function()
                calls += 1
            best[index] = min(best[index], passed / calls)
    return best


def measure(model: ModelProto, batch: int) -> tuple[float, float, str]:
    """Return the seconds of kir and of the evaluator, and how their results compare."""
    graph = import_graph(model)
    feeds = make_feeds(graph, batch)
    plan, evaluator = Plan(graph), ReferenceEvaluator(model)
    ours, theirs = plan.run(feeds), dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))
    differ = [name for name in ours if not np.allclose(ours[name], theirs[name], TOLERANCE, TOLERANCE)]
    kir, reference = time_in_turns(lambda: plan.run(feeds), lambda: evaluator.run(None, feeds))
    return kir, reference, "other numbers" if differ else ""


def mean(ratios: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main() -> None:
    warnings.simplefilter("ignore")
    ratios: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    print(f"{'model':<20}{'nodes':>6}{'batch':>6}{'kir':>12}{'evaluator':>12}{'ratio':>8}")
    for name, make, batches in models():
        model = export(make())
        for batch in batches:
            kir, reference, remark = measure(model, batch)
            ratios[batch].append(reference / kir)
            print(
                f"{name:<20}{len(model.graph.node):>6}{batch:>6}{1e6 * kir:>9.1f} µs{1e6 * reference:>9.1f} µs"
                f"{reference / kir:>8.2f}  {remark}"
            )
    for batch, found in ratios.items():
        print(f"geometric mean at batch {batch:<3}{mean(found):.2f}")
    print(f"geometric mean of all      {mean([ratio for found in ratios.values() for ratio in found]):.2f}")


if __name__ == "__main__":
    main()
