"""Whether attention would run faster as one operator than as the plain ones that kir exports, in onnxruntime.

Run with `python -m tests.benchmarks.attention`. From projected queries, keys and values to the heads' outputs, kir's
operators run beside `Attention`, which ONNX has from opset 23 on, and beside onnxruntime's own `MultiHeadAttention`;
then kir's projections run beside `Einsum`. All sessions have one thread and take turns. The figures are the medians of
the processor time of a run, and how much faster than kir's the other one is: below 1 kir's are faster.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from kir import Input, Model, passes
from kir import backend as K
from kir.exporters.onnx_file.session import make_session
from kir.exporters.onnx_file.write import to_model_proto
from kir.layers import EinsumDense

# Steps, heads, and the size of each.
SIZES = ((16, 4, 16), (64, 8, 32), (128, 8, 64), (512, 8, 64))
BATCHES = (1, 8)
TURNS = 15
SECONDS = 0.01  # a turn at the least
TOLERANCE = 1e-4

Feeds = dict[str, np.ndarray[Any, Any]]


def export(model: Model) -> ModelProto:
    """Return the file that `kir export` writes."""
    graph = model.to_graph()
    passes.run(graph, passes.pipeline())
    return to_model_proto(graph)


def make_model(nodes: list[Any], feeds: Feeds, opset: int, weights: Feeds | None = None) -> ModelProto:
    """Return a file of these nodes, which read the feeds and the weights, and of which the last one's output is "y"."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), ("batch", *array.shape[1:]))
        for name, array in feeds.items()
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "other", inputs, [output], constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


# Attention


def attention_feeds(batch: int, steps: int, heads: int, size: int, is_masked: bool) -> Feeds:
    """Projected queries, keys and values, and where a query may look."""
    random = np.random.default_rng(0)
    feeds: Feeds = {name: random.normal(size=(batch, steps, heads * size)).astype(np.float32) for name in "qkv"}
    if is_masked:
        kept = random.random((batch, 1, steps, steps)) < 0.8
        feeds["mask"] = kept | np.eye(steps, dtype=bool)
    return feeds


def attend_plainly(steps: int, heads: int, size: int, is_masked: bool) -> ModelProto:
    """kir's operators, as its MultiHeadAttention has them between the projections."""
    q, k, v = (Input((steps, heads * size), name=name) for name in "qkv")
    mask = [Input((1, steps, steps), dtype="bool", name="mask")] if is_masked else []
    query, key, value = (K.reshape(x, (-1, steps, heads, size)) for x in (q, k, v))
    attended = K.dot_product_attention(query, key, value, mask=mask[0] if mask else None)
    return export(Model([q, k, v, *mask], K.reshape(attended, (-1, steps, heads * size))))


def attend_by_standard(feeds: Feeds, heads: int) -> ModelProto:
    """Return the standard's operator, which computes its own scale."""
    node = helper.make_node("Attention", list(feeds), ["y"], q_num_heads=heads, kv_num_heads=heads)
    return make_model([node], feeds, 23)


def attend_by_contributed(feeds: Feeds, heads: int) -> ModelProto:
    """onnxruntime's own operator, which takes a mask as something to add."""
    nodes, bias, weights = [], [], {}
    if "mask" in feeds:
        weights = {"zero": np.zeros((), np.float32), "lowest": np.array(-1e30, np.float32)}
        nodes.append(helper.make_node("Where", ["mask", "zero", "lowest"], ["bias"]))
        bias = ["bias"]
    inputs = ["q", "k", "v", *["", ""], *bias] if bias else ["q", "k", "v"]
    nodes.append(helper.make_node("MultiHeadAttention", inputs, ["y"], domain="com.microsoft", num_heads=heads))
    return make_model(nodes, feeds, 21, weights)


# Projections


def project_both(equation: str, shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[ModelProto, ModelProto]:
    """kir's EinsumDense, and the same as an Einsum and an Add."""
    x = Input(shape, name="x")
    layer = EinsumDense(equation, sizes, bias_axes=equation.partition("->")[2][2:])
    model = Model(x, layer(x))
    kernel, bias = layer.get_weights()
    nodes = [
        helper.make_node("Einsum", ["x", "kernel"], ["product"], equation=equation),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    feeds = {"x": np.zeros((1, *shape), np.float32)}
    return export(model), make_model(nodes, feeds, 21, {"kernel": kernel, "bias": bias})


# Measuring


def time_in_turns(*functions: Callable[[], Any]) -> list[float]:
    """Return the median seconds of processor time that each function takes, called as often as a turn lasts."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(TURNS):
        for index, function in enumerate(functions):
            begin, calls = time.thread_time(), 0
            while (passed := time.thread_time() - begin) < SECONDS or not calls:
                function()
                calls += 1
            seconds[index].append(passed / calls)
    return [statistics.median(found) for found in seconds]


def compare(feeds: Feeds, ours: ModelProto, *others: ModelProto) -> list[float]:
    """Return the seconds of every file; all must compute the same."""
    sessions = [make_session(model.SerializeToString(), threads=1) for model in (ours, *others)]
    expected, *results = (next(iter(session.run(feeds).values())) for session in sessions)
    for result in results:
        np.testing.assert_allclose(result, expected, TOLERANCE, TOLERANCE)
    return time_in_turns(*[lambda session=session: session.run(feeds) for session in sessions])


def summary(name: str, ratios: list[float]) -> str:
    """Return the geometric mean of the ratios, and their range."""
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return f"{name}: {mean:.2f} times as fast as kir's (geometric mean), of {min(ratios):.2f} to {max(ratios):.2f}"


def compare_attention() -> None:
    """A line for each size, batch and mask, and the means."""
    ratios: list[list[float]] = [[], []]
    print(
        f"{'steps':>5}{'heads':>6}{'size':>5}{'batch':>6}  mask {'kir':>13}{'Attention':>21}{'MultiHeadAttention':>23}"
    )
    for (steps, heads, size), batch, is_masked in itertools.product(SIZES, BATCHES, (False, True)):
        feeds = attention_feeds(batch, steps, heads, size, is_masked)
        ours = attend_plainly(steps, heads, size, is_masked)
        kir, *others = compare(feeds, ours, attend_by_standard(feeds, heads), attend_by_contributed(feeds, heads))
        for found, other in zip(ratios, others, strict=True):
            found.append(kir / other)
        shown = "".join(f"{1e6 * other:>13.1f} µs {kir / other:>5.2f}" for other in others)
        print(f"{steps:>5}{heads:>6}{size:>5}{batch:>6}  {'yes' if is_masked else 'no':<4}{1e6 * kir:>11.1f} µs{shown}")
    for name, found in zip(("Attention", "MultiHeadAttention"), ratios, strict=True):
        print(summary(name, found))


def compare_projections() -> None:
    """A line for each size and batch, into heads and out of them, and the mean."""
    ratios: list[float] = []
    print(f"{'equation':<17}{'steps':>5}{'heads':>6}{'size':>5}{'batch':>6}{'kir':>13}{'Einsum':>16}")
    for (steps, heads, size), batch, into in itertools.product(SIZES, BATCHES, (True, False)):
        split, joined = (steps, heads, size), (steps, heads * size)
        equation, shape, sizes = ("bsm,mnh->bsnh", joined, split) if into else ("bsnh,nhm->bsm", split, joined)
        feeds = {"x": np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)}
        ours, other = compare(feeds, *project_both(equation, shape, sizes))
        ratios.append(ours / other)
        shown = f"{1e6 * ours:>10.1f} µs{1e6 * other:>10.1f} µs {ours / other:>5.2f}"
        print(f"{equation:<17}{steps:>5}{heads:>6}{size:>5}{batch:>6}{shown}")
    print(summary("Einsum", ratios))


def main() -> None:
    warnings.simplefilter("ignore")
    compare_attention()
    print()
    compare_projections()


if __name__ == "__main__":
    main()
