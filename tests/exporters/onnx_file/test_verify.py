"""Verification: right files pass, wrong ones do not, and bisection names the place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from kir import Model, layers, passes
from kir import backend as K
from kir.errors import FormatError, MismatchError, ProviderError
from kir.exporters.onnx_file import export_graph, session, to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.training import check_training
from kir.exporters.onnx_file.verify.two_files import verify_onnx_files
from kir.ir.graph import Graph, Origin, Value
from kir.ir.interpreter import Plan
from kir.ir.op import Array, Op
from kir.ir.structural import Data, Output, constant
from kir.ir.structural import Input as InputOp
from kir.ir.types import DType, parse_type
from kir.layers import GRU as GRULayer
from kir.layers import LSTM as LSTMLayer
from kir.layers import Bidirectional, Input, Masking
from kir.layers import Dense as DenseLayer
from kir.modeling.lower import lower
from kir.modeling.sequential import Sequential
from kir.numerics.compare import RunComparison, compare, verify_graphs
from kir.numerics.expected import Expected
from kir.numerics.probe_sizes import choose_runs
from kir.numerics.report import Divergence, OutputReport, VerificationReport
from kir.numerics.rounding import RandomRounding
from kir.numerics.uses import find_use
from kir.ops.convolution import Conv
from kir.ops.elementwise import (
    Add,
    Cast,
    Div,
    Equal,
    Exp,
    Gelu,
    HardSigmoid,
    Less,
    Log,
    Mul,
    Not,
    Relu,
    Round,
    Sigmoid,
    Sqrt,
    Sub,
    Tanh,
)
from kir.ops.linear import Dense, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.reduce import ArgMax, ReduceMean, ReduceMin, ReduceSum
from kir.ops.resize import Resize
from kir.ops.shape import Concat, Gather, Transpose
from kir.ops.sparse import SparseToDense
from tests.ops.cases import Case, all_cases
from tests.passes.building import Build

SIGMOID, TANH = ("Sigmoid", 0.0, 0.0), ("Tanh", 0.0, 0.0)

Change = Callable[[str, Array], Array]  # of a weight, by its label


class Builder:
    """Writes a graph op by op, with random weights that depend on the seed alone."""

    def __init__(self, type: str, change: Change | None = None, seed: int = 0) -> None:
        self.graph = Graph("model")
        self.dtype = parse_type(type).dtype.numpy
        self.x = self.graph.add(InputOp("x", parse_type(type))).output
        self._generator = np.random.default_rng(seed)
        self._change = change or (lambda name, array: array)

    def add(self, op: Op, *values: Value | None, layer: str = "") -> Value:
        return self.graph.add(op, *values, origin=Origin(layer, op.name) if layer else None).outputs[0]

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> Value:
        array = self._generator.standard_normal(shape) * scale
        return self.constant(self._change(name, array), name)

    def constant(self, array: Any, name: str | None = None) -> Value:
        return self.add(constant(np.asarray(array, self.dtype), name))

    def dense(self, x: Value, units: int, layer: str, activation: Op | None = None, gain: float = 1.0) -> Value:
        features = x.type.shape[-1]
        assert isinstance(features, int)
        kernel = self.weight(f"{layer}/kernel", features, units, scale=gain / math.sqrt(features))
        y = self.add(Dense(), x, kernel, self.weight(f"{layer}/bias", units, scale=0.1), layer=layer)
        return y if activation is None else self.add(activation, y, layer=layer)

    def recurrent(self, op: Any, x: Value, lens: Value | None = None, gain: float = 1.0) -> Value:
        rows, features, count = op.gates * op.units, x.type.shape[-1], op.direction_count
        assert isinstance(features, int)
        weights = (
            self.weight("kernel", count, rows, features, scale=gain / math.sqrt(features)),
            self.weight("recurrent_kernel", count, rows, op.units, scale=gain / math.sqrt(op.units)),
            self.weight("bias", count, 2 * rows, scale=0.1),
        )
        return self.add(op, x, *weights, lens, layer=op.name.lower())

    def build(self, *outputs: Value) -> Graph:
        for index, value in enumerate(outputs):
            self.graph.add(Output("y" if len(outputs) == 1 else f"y{index}"), value)
        return self.graph


def mlp(change: Change | None = None, activation: Op | None = None, seed: int = 0, dtype: str = "f32") -> Graph:
    build = Builder(f"{dtype}[batch, 64]", change, seed)
    x = build.x
    for index in range(3):
        x = build.dense(x, 48, f"dense_{index}", activation or Tanh())
    return build.build(build.add(Softmax(1), build.dense(x, 10, "logits")))


def cnn(change: Change | None = None) -> Graph:
    """Return three convolutions, the second with a step and the third of one element, and the mean of each channel."""
    build = Builder("f32[batch, 3, 12, 12]", change)
    x, channels = build.x, 3
    for index, (units, width, stride) in enumerate([(8, 3, 1), (16, 3, 2), (24, 1, 1)]):
        terms = channels * width * width
        kernel = build.weight(f"conv_{index}/kernel", units, channels, width, width, scale=math.sqrt(2 / terms))
        bias = build.weight(f"conv_{index}/bias", units, scale=0.1)
        x = build.add(Relu(), build.add(Conv((stride, stride), (1, 1), 1, "same"), x, kernel, bias))
        channels = units
    return build.build(build.add(Softmax(1), build.dense(build.add(ReduceMean((2, 3), False), x), 10, "logits")))


def model_of(graph: Graph, opset: int | None = None) -> bytes:
    return bytes(to_model_proto(graph, opset=opset).SerializeToString())


def verify(graph: Graph, written: Graph | None = None, **options: Any) -> VerificationReport:
    return verify_file(graph, model_of(written or graph), **options)


# Right files pass


def _cancellation() -> Graph:
    build = Builder("f32[batch, 2048]")
    half = np.abs(np.random.default_rng(0).standard_normal((2048, 8)))
    twice = build.add(Concat(1), *[build.add(Sigmoid(), build.x)] * 2)
    return build.build(build.add(Dense(), twice, build.constant(np.concatenate([half, -half]))))


def _variance() -> Graph:
    build = Builder("f32[batch, 300]")
    x = build.add(Add(), build.x, build.constant(100))
    centered = build.add(Sub(), x, build.add(ReduceMean((1,), True), x))
    variance = build.add(ReduceMean((1,), True), build.add(Mul(), centered, centered))
    root = build.add(Sqrt(), build.add(Add(), variance, build.constant(1e-3)))
    return build.build(build.add(Div(), centered, root))


def _long_product(positive: bool) -> Graph:
    build = Builder("f32[batch, 4096]", lambda name, array: np.abs(array) if positive else array)
    return build.build(build.dense(build.x, 16, "dense"))


def _saturated(op: Op) -> Graph:
    build = Builder("f32[batch, 64]")
    return build.build(build.add(op, build.dense(build.dense(build.x, 64, "a", Relu()), 50, "b", gain=300)))


def _deep(activation: Op, gain: float) -> Graph:
    build = Builder("f32[batch, 64]")
    x = build.x
    for index in range(40):
        x = build.dense(x, 64, f"dense_{index}", activation, gain)
    return build.build(x)


def _recurrent(op: Any, steps: int, gain: float = 1.0) -> Graph:
    build = Builder(f"f32[{steps}, batch, 8]")
    return build.build(build.recurrent(op, build.x, gain=gain))


def _attention() -> Graph:
    build = Builder("f32[batch, length, 32]")
    scores = build.add(MatMul(), build.x, build.add(Transpose((0, 2, 1)), build.x))
    return build.build(build.add(MatMul(), build.add(Softmax(2), scores), build.x))


def _embedding() -> Graph:
    build = Builder("f32[batch, 3]")
    indices = build.graph.add(InputOp("indices", parse_type("i32[batch, length]"))).output
    return build.build(build.add(Gather(0), build.weight("table", 5, 4), indices))


def _discontinuous() -> Graph:
    build = Builder("f32[batch, 100]")
    probabilities = build.add(Softmax(1), build.x)
    rounded = build.add(Round(), build.add(Mul(), build.x, build.constant(7)))
    return build.build(rounded, build.add(ArgMax(1, False), probabilities))


def _special() -> Graph:
    build = Builder("f32[batch, 100]")
    big = build.add(Exp(), build.add(Mul(), build.x, build.constant(80)))
    return build.build(big, build.add(Div(), big, big), build.add(Log(), build.x))


def _zero_by_zero(dtype: str, factor: float = 1) -> Graph:
    """Return the log-probability of a sure class, which the model's own precision computes as exactly 0, by itself."""
    build = Builder(f"{dtype}[batch, 8]")
    log = build.add(LogSoftmax(1), build.add(Mul(), build.x, build.constant(30)))
    scaled = build.add(Mul(), log, build.constant(factor))
    return build.build(build.add(Div(), scaled, scaled))


RIGHT: dict[str, Callable[[], Graph]] = {
    "mlp": mlp,
    "mlp float64": lambda: mlp(dtype="f64"),
    "mlp float16": lambda: mlp(dtype="f16"),
    "convolutions": cnn,
    "gelu": lambda: mlp(activation=Gelu(False)),
    "4096 terms": lambda: _long_product(False),
    "4096 positive terms": lambda: _long_product(True),
    "terms that cancel": _cancellation,
    "variance of numbers around 100": _variance,
    "saturated softmax": lambda: _saturated(Softmax(1)),
    "saturated log softmax": lambda: _saturated(LogSoftmax(1)),
    "saturated sigmoid": lambda: _saturated(Sigmoid()),
    "40 layers of relu": lambda: _deep(Relu(), 1.4),
    "40 layers of tanh": lambda: _deep(Tanh(), 3.0),
    "200 steps of LSTM": lambda: _recurrent(LSTM(32, "bidirectional", (SIGMOID, TANH, TANH) * 2), 200, 2.0),
    "200 steps of GRU": lambda: _recurrent(GRU(32, "forward", (SIGMOID, TANH), True), 200, 2.0),
    "200 chaotic steps of RNN": lambda: _recurrent(RNN(32, "reverse", (TANH,)), 200, 3.0),
    "attention": _attention,
    "embedding": _embedding,
    "rounded and chosen": _discontinuous,
    "infinities and nan": _special,
    "zero by zero": lambda: _zero_by_zero("f32"),
    "zero by zero float16": lambda: _zero_by_zero("f16"),
}


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT.keys())
def test_right_files_pass(make: Callable[[], Graph]) -> None:
    graph = make()
    for seed in range(3):
        report = verify(graph, seed=seed)
        assert report.passed, str(report)
        assert report.runs == 3


@pytest.mark.parametrize("opset", [17, 18, 21])
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layer", [layers.UnitNormalization, layers.LayerNormalization, layers.Softmax])
def test_float16_layers_of_large_numbers_pass(layer: Any, opset: int) -> None:
    """Rescaled numbers of up to infinity, whose squares overflow; onnxruntime keeps some of them in float32."""
    x = Input((4, 6), dtype="float16")
    scaled = layers.Rescaling(30_000, dtype="float16")(x)
    graph = Model(x, layer(dtype="float16")(scaled)).to_graph()
    for seed in range(3):
        report = verify_file(graph, model_of(graph, opset), seed=seed)
        assert report.passed, str(report)


@pytest.mark.parametrize("layer", [GRULayer, LSTMLayer])
@pytest.mark.parametrize("gates", ["relu", "elu"])
def test_recurrences_that_overflow_pass(layer: Any, gates: str) -> None:
    """States grow past all floats; onnxruntime makes the largest number or 0 of some where kir has NaN."""
    x = Input((None, 4))
    model = Model(x, layer(3, activation="relu", recurrent_activation=gates, return_sequences=True)(x))
    for seed in range(2):
        random = np.random.default_rng(seed)
        model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
        graph = model.to_graph()
        report = verify(graph, seed=seed)
        assert report.passed, str(report)


@pytest.mark.parametrize("layer", [GRULayer, LSTMLayer])
@pytest.mark.parametrize("activation", ["tanh", "elu"])
def test_recurrences_of_what_is_no_number_pass(layer: Any, activation: str) -> None:
    """onnxruntime's functions clip NaN to a number, where kir has NaN."""
    x = Input((None, 4))
    steps = layer(3, activation=activation, return_sequences=True)(layers.Lambda(K.log)(x))
    model = Model(x, layers.LayerNormalization()(layer(3, activation=activation)(steps)))
    report = verify(model.to_graph())
    assert report.passed, str(report)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_resize_of_float64_passes(mode: str) -> None:
    build = Build("f64[2, 3, 4, 5]")
    report = verify(build.finish(build(Resize((2, 3, 8, 10), mode), build.inputs[0])))
    assert report.passed, str(report)


# Dropout is checked below; a case of SparseToDense has a constant for its shape, which fits one batch only.
CASES = [case for case in all_cases() if not isinstance(case.op, Dropout | SparseToDense)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operator_verifies(case: Case) -> None:
    report = verify(case.graph())
    assert report.passed, str(report)


ACTIVATION_CHOICES = [Tanh(), Sigmoid(), Relu(), Gelu(False), HardSigmoid(0.2, 0.5), Softmax(1), LogSoftmax(1)]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_models_pass_optimised_and_not(data: st.DataObject) -> None:
    build = Builder("f32[batch, 16]", seed=data.draw(st.integers(0, 1000)))
    x = build.x
    for index in range(data.draw(st.integers(1, 6))):
        activation = data.draw(st.sampled_from(ACTIVATION_CHOICES))
        units, gain = data.draw(st.integers(1, 40)), data.draw(st.sampled_from([0.1, 1.0, 10.0]))
        x = build.dense(x, units, f"dense_{index}", activation, gain)
    graph = build.build(x)
    optimised = graph.copy()
    passes.run(optimised, passes.pipeline(2))
    for written in (graph, optimised):
        report = verify(graph, written, seed=data.draw(st.integers(0, 1000)))
        assert report.passed, str(report)


MODELS: dict[str, Callable[[], list[Any]]] = {
    "masked LSTM": lambda: [Input((None, 4)), Masking(0.5), LSTMLayer(6, return_sequences=True), LSTMLayer(5)],
    "masked backwards GRU": lambda: [Input((9, 4)), Masking(), GRULayer(6, go_backwards=True), DenseLayer(2)],
    "two directions": lambda: [Input((None, 4)), Masking(), Bidirectional(LSTMLayer(6)), DenseLayer(2)],
}


@pytest.mark.parametrize("layers", MODELS.values(), ids=MODELS.keys())
def test_models_with_masks_pass_and_their_masks_are_fed(layers: Callable[[], list[Any]]) -> None:
    graph = lower(Sequential(layers()))
    (node,) = graph.inputs
    assert find_use(graph, node).compared
    optimised = graph.copy()
    passes.run(optimised, passes.pipeline(2))
    report = verify(graph, optimised)
    assert report.passed, str(report)


# Wrong files do not


def scaled(name: str, factor: float) -> Change:
    return lambda given, array: array * factor if given == name else array


def swap_gates(name: str, array: Array) -> Array:
    if name != "kernel":
        return array
    first, second, *others = np.split(array, 4, axis=1)
    return np.concatenate([second, first, *others], axis=1)


def one_weight(name: str, array: Array) -> Array:
    changed = array.copy()
    if name == "dense_1/kernel":
        changed[3, 4] += 1e-3
    return changed


def _normalization(epsilon: float) -> Graph:
    build = Builder("f32[batch, 32]")
    squares = build.add(ReduceMean((1,), True), build.add(Mul(), build.x, build.x))
    return build.build(build.add(Div(), build.x, build.add(Sqrt(), build.add(Add(), squares, build.constant(epsilon)))))


def _lstm(change: Change | None = None, gate: tuple[str, float, float] = SIGMOID, missing_steps: int = 0) -> Graph:
    """Return an LSTM over [batch, time, 4] whose steps of zeros at the end are masked."""
    build = Builder("f32[batch, length, 4]", change)
    padding = build.add(Equal(), build.x, build.constant(0))
    valid = build.add(Not(), build.add(Cast(DType.BOOL), build.add(ReduceMin((2,), False), _as_i32(build, padding))))
    lens = build.add(ReduceSum((1,), False), _as_i32(build, valid))
    for _ in range(missing_steps):
        one = build.add(constant(np.int32(1)))
        some = build.add(Cast(DType.INT32), build.add(Cast(DType.BOOL), lens))
        lens = build.add(Sub(), lens, build.add(Mul(), some, one))
    op = LSTM(8, "forward", (gate, TANH, TANH))
    return build.build(build.recurrent(op, build.add(Transpose((1, 0, 2)), build.x), lens))


def _as_i32(build: Builder, value: Value) -> Value:
    return build.add(Cast(DType.INT32), value)


WRONG: dict[str, tuple[Callable[[], Graph], Callable[[], Graph]]] = {
    "a kernel off by a thousandth": (mlp, lambda: mlp(scaled("dense_1/kernel", 1.001))),
    "a bias off by a thousandth": (mlp, lambda: mlp(scaled("logits/bias", 1.001))),
    "one of 2304 weights": (mlp, lambda: mlp(one_weight)),
    "the kernel of the first convolution off by a thousandth": (cnn, lambda: cnn(scaled("conv_0/kernel", 1.001))),
    "the kernel of the last convolution off by a thousandth": (cnn, lambda: cnn(scaled("conv_2/kernel", 1.001))),
    "the other gelu": (lambda: mlp(activation=Gelu(False)), lambda: mlp(activation=Gelu(True))),
    "the other hard sigmoid": (
        lambda: mlp(activation=HardSigmoid(1 / 6, 0.5)),
        lambda: mlp(activation=HardSigmoid(0.2, 0.5)),
    ),
    "another epsilon": (lambda: _normalization(1e-3), lambda: _normalization(1e-5)),
    "swapped gates": (_lstm, lambda: _lstm(swap_gates)),
    "another gate function": (_lstm, lambda: _lstm(gate=("HardSigmoid", 0.2, 0.5))),
    "a mask one step short": (_lstm, lambda: _lstm(missing_steps=1)),
}


@pytest.mark.parametrize(("right", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_wrong_files_fail(right: Callable[[], Graph], wrong: Callable[[], Graph]) -> None:
    graph = right()
    report = verify(graph)
    assert report.passed, str(report)
    for seed in range(3):
        report = verify(graph, wrong(), seed=seed)
        assert not report.passed, str(report)
        assert report.outputs[0].ratio > 1


def test_other_integers_fail() -> None:
    def graph(axis: int) -> Graph:
        build = Builder("f32[batch, 5, 5]")
        return build.build(build.add(ArgMax(axis, False), build.x))

    report = verify(graph(1), graph(2))
    assert not report.passed
    assert report.outputs[0].dtype == "int64"


def test_a_file_that_cannot_run_on_an_input_fails() -> None:
    def graph(rows: int) -> Graph:
        build = Builder("f32[batch, 4]")
        return build.build(build.add(Add(), build.x, build.constant(np.zeros((rows, 4)))))

    assert verify(graph(1)).passed
    with pytest.raises(MismatchError, match=r"x \(2, 4\)"):
        verify(graph(1), graph(3))


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_nan_is_right_only_where_the_own_precision_gives_it(dtype: str) -> None:
    report = verify(_zero_by_zero(dtype), _zero_by_zero(dtype, factor=0))
    assert not report.passed
    assert not verify_graphs(_zero_by_zero(dtype), _zero_by_zero(dtype, factor=0)).passed


# Comparing one output


def expected(reference: list[float], allowed: float, special: list[float] | None = None) -> Expected:
    array = np.array(reference)
    return Expected(array, np.full(array.shape, allowed), () if special is None else (np.array(special),))


@pytest.mark.parametrize(
    ("one", "actual", "passed"),
    [
        (expected([1.0], 1e-6), [1.0 + 5e-7], True),
        (expected([1.0], 1e-6), [1.0 + 5e-6], False),
        (expected([1.0], 1e-6), [np.nan], False),
        (expected([1.0], 1e-6), [np.inf], False),
        (expected([1.0], np.inf), [np.nan], True),
        (expected([0.0], 0.0, [np.nan]), [np.nan], True),
        (expected([0.0], 0.0, [np.nan]), [0.0], True),
        (expected([0.0], 0.0, [np.nan]), [1.0], False),
        (expected([np.nan], 0.0, [np.nan]), [0.0], False),
        (expected([9e99], 0.0, [np.inf]), [np.inf], True),
        (expected([9e99], 0.0, [np.inf]), [-np.inf], False),
        (expected([9e99], 0.0, [-np.inf]), [np.inf], True),  # 9e99 as a float32
        (expected([1.0], 1e-6, [np.inf]), [np.nan], True),
        (expected([np.inf], 0.0, [np.inf]), [np.nan], False),
        (expected([1.0], 1e-6, [np.nan]), [np.nan], True),
        (expected([1.0], 1e-6, [np.nan]), [1.0 + 5e-7], True),
        (expected([1.0], 1e-6, [np.nan]), [1.0 + 5e-6], False),
        (expected([1.0], 1e-6, [np.nan]), [np.inf], True),
        (expected([1.0], 1e-6, [np.inf]), [-np.inf], False),
        (expected([], 0.0), [], True),
        (expected([1.0], 1e-6), [1.0, 1.0], False),
    ],
)
def test_compare(one: Expected, actual: list[float], passed: bool) -> None:
    assert compare("y", one, np.array(actual, np.float32)).passed == passed


@pytest.mark.parametrize(
    ("unmoved", "actual", "passed"),
    [
        ([np.nan, 2.0], [np.nan, 2.0], True),
        ([np.nan, 2.0], [1.0, 2.0], True),
        ([np.nan, 2.0], [np.inf, 2.0], True),
        ([-np.inf, 2.0], [np.nan, 2.0], True),
        ([-np.inf, 2.0], [np.inf, 2.0], False),
        ([np.nan, 2.0], [1.1, 2.0], False),
        ([np.nan, 2.0], [np.nan, np.nan], False),
        ([np.nan, 2.1], [np.nan, 2.1], True),
        ([np.nan, 2.1], [np.nan, 2.2], False),
        ([np.nan, 2.1, 0.0], [np.nan, 2.1], False),
    ],
)
def test_what_the_own_precision_gives_is_right(unmoved: list[float], actual: list[float], passed: bool) -> None:
    one = replace(expected([1.0, 2.0], 1e-6), unmoved=lambda: np.array(unmoved, np.float32))
    assert compare("y", one, np.array(actual, np.float32)).passed == passed


def test_the_own_precision_is_only_asked_where_something_is_wrong() -> None:
    def unmoved() -> Array:
        raise AssertionError

    assert compare("y", replace(expected([1.0], 1e-6), unmoved=unmoved), np.ones(1, np.float32)).passed


def test_large_integers_and_strings_are_compared_exactly() -> None:
    large = np.array([2**60])
    exact = Expected(large, np.zeros(1))
    assert compare("y", exact, large).passed
    assert not compare("y", exact, large + 1).passed
    words = Expected(np.array(["a"], object), np.zeros(1))
    assert compare("y", words, np.array(["a"], object)).passed
    assert not compare("y", words, np.array(["b"], object)).passed


def test_measures_of_an_error() -> None:
    one = Expected(np.array([2.0, 100.0]), np.array([1e-6, 1.0]))
    report = compare("y", one, np.array([2.0 + 2**-22, 100.0 + 2**-12], np.float32))
    assert report.element == (0,), "not the largest error, but the largest part of what is allowed"
    assert report.max_abs == report.error == 2**-22
    assert report.max_rel == 2**-23
    assert report.max_ulp == 1
    assert report.allowed == 1e-6
    assert report.ratio == pytest.approx(2**-22 / 1e-6)


def test_the_worst_of_several_runs_says_of_which_it_is() -> None:
    runs = RunComparison()
    for error, shape in ((0.1, (1, 2)), (0.3, (3, 2)), (0.2, (2, 2))):
        actual = np.ones(shape, np.float32)
        actual[-1, 1] += error
        runs.add({"y": Expected(np.ones(shape), np.ones(shape))}, {"y": actual})
    (report,) = runs.reports()
    assert (report.run, report.element, report.shapes[report.run]) == (1, (2, 1), (3, 2))
    assert report.max_abs == pytest.approx(0.3, rel=1e-6)


# Reports


def test_report() -> None:
    report = verify(mlp(), seed=3)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["passed"] is True
    assert (document["provider"], document["seed"], document["runs"]) == ("cpu", 3, 3)
    assert document["outputs"][0]["shapes"] == [[1, 10], [2, 10], [11, 10]]
    assert 0 < document["outputs"][0]["max_abs"] <= document["outputs"][0]["allowed"]
    assert "y " in str(report)
    report.raise_if_failed()


def test_report_of_a_failure() -> None:
    report = verify(mlp(), mlp(scaled("dense_1/kernel", 1.01)))
    with pytest.raises(
        MismatchError, match=r"(?s)^outputs: y: wrong in \d+ of \d+ elements.*y .*FAIL.*--bisect"
    ) as caught:
        report.raise_if_failed()
    assert caught.value.exit_code == 1
    assert "--bisect" not in str(_caught(replace(report, divergence=Divergence())))


def _caught(report: VerificationReport) -> MismatchError:
    with pytest.raises(MismatchError) as caught:
        report.raise_if_failed()
    return caught.value


def test_infinite_numbers_are_text_in_json() -> None:
    output = OutputReport("y", "int64", ((1,),), 1, math.inf, 1, 0, False)
    report = VerificationReport((output,), 1, "cpu", 0, "")
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["outputs"][0]["max_rel"] == "inf"
    assert document["outputs"][0]["ratio"] == "inf"


def test_equal_seeds_give_equal_reports_and_others_do_not() -> None:
    graph = mlp()
    first, again, other = (verify(graph, seed=seed).to_json()["outputs"] for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_large_model_runs_once_and_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", 0)
    alone = verify(cnn())
    assert alone.outputs[0].shapes == ((1, 10),)
    monkeypatch.setattr("kir.numerics.threads.THREADED_WORK", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert verify(cnn()).to_json()["outputs"][0]["allowed"] == alone.to_json()["outputs"][0]["allowed"]
    assert not verify(cnn(), cnn(scaled("conv_1/kernel", 1.001))).passed


def test_given_sizes_are_used() -> None:
    assert verify(mlp(), sizes=[{"batch": 11}]).outputs[0].shapes == ((11, 10),)


def test_inputs_with_defaults_are_left_out_and_fed() -> None:
    build = Builder("f32[batch, 4]")
    offset = build.graph.add(InputOp("offset", parse_type("f32[4]"), Data(np.ones(4, np.float32)))).output
    assert verify(build.build(build.add(Add(), build.x, offset))).passed


# Signatures and providers


def test_another_output_is_a_clear_error() -> None:
    build = Builder("f32[batch, 64]")
    other = build.build(build.dense(build.x, 11, "dense"))
    with pytest.raises(MismatchError, match=r"output 'y' is f32\[batch, 11\] in the file and f32\[batch, 10\]"):
        verify(mlp(), other)


def test_other_names_are_a_clear_error() -> None:
    graph = Graph()
    value = graph.add(InputOp("z", parse_type("f32[batch, 64]"))).output
    graph.add(Output("y"), graph.add(Relu(), value).output)
    with pytest.raises(MismatchError, match=r"(?s)'x' of the model is missing.*has z.*'z' of the file is unknown"):
        verify(mlp(), graph)


def test_another_dtype_or_rank_is_a_clear_error() -> None:
    with pytest.raises(MismatchError, match=r"input 'x' is f64\[batch, 64\] in the file and f32\[batch, 64\]"):
        verify(mlp(), mlp(dtype="f64"))


def test_a_fixed_size_where_the_model_has_none_is_a_clear_error() -> None:
    fixed = mlp().specialize({"batch": 1})
    with pytest.raises(MismatchError, match=r"input 'x' is f32\[1, 64\] in the file and f32\[batch, 64\]"):
        verify(mlp(), fixed)


def test_a_provider_that_is_not_installed() -> None:
    with pytest.raises(ProviderError, match=r"installed are: .*cpu"):
        verify(mlp(), provider="rocm")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(FormatError, match=r"x\.onnx"):
        verify_file(mlp(), tmp_path / "x.onnx")


# Bisection


def bisect(graph: Graph, model: Path | bytes) -> Divergence:
    return Divergence.first_of(verify_file(graph, model, written=graph).measured)


def test_bisect_names_the_first_wrong_node(tmp_path: Path) -> None:
    graph = mlp()
    passes.run(graph, passes.pipeline(2))
    path = tmp_path / "model.onnx"
    export_graph(graph, path)
    assert bisect(graph, path).node is None
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.name == "dense_1/kernel":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name))
    onnx.save(proto, path)
    found = bisect(graph, path)
    assert found.node is not None
    assert found.node.origin == Origin("dense_1", "Dense")
    assert found.op.startswith("Dense")
    assert found.error > found.allowed > 0
    assert "dense_1 (Dense)" in str(verify_file(graph, path, written=graph).bisected())
    assert json.loads(json.dumps(found.to_json()))["layer"] == "dense_1 (Dense)"


def test_bisect_goes_through_many_groups() -> None:
    graph = _deep(Tanh(), 1.0)
    proto = to_model_proto(graph)
    for tensor in proto.graph.initializer:
        if tensor.name == "dense_37/bias":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.01), tensor.name))
    assert bisect(graph, proto.SerializeToString()).layer == "dense_37 (Dense)"


def test_what_was_not_measured_is_not_bisected() -> None:
    graph = mlp()
    report = verify_file(graph, model_of(graph)).bisected()
    assert report.divergence is None
    assert "not bisected: no operator was compared" in str(report)


def test_a_wrong_pass_is_told_from_a_wrong_export() -> None:
    wrong = mlp(scaled("dense_0/kernel", 1.01))
    assert not verify(mlp(), wrong).passed
    assert "a pass changed the result" in str(bisect(wrong, model_of(wrong)))


# Training exports


def dropping(rate: float, noise_shape: tuple[int, ...] | None = None, seed: int | None = None) -> Graph:
    build = Builder("f32[batch, 64]")
    switch = build.graph.add(InputOp("training_mode", parse_type("bool[]"), Data(np.array(True)))).output
    x = build.dense(build.x, 200, "dense", Tanh())
    dropped = build.add(Dropout(rate, noise_shape, seed), x, switch, layer="dropout")
    return build.build(build.dense(dropped, 10, "logits"))


@pytest.mark.parametrize("opset", [13, None])
@pytest.mark.parametrize("noise_shape", [None, (1, 200)])
@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_training_exports_pass(rate: float, noise_shape: tuple[int, ...] | None, opset: int | None) -> None:
    graph = dropping(rate, noise_shape)
    report = verify_file(graph, model_of(graph, opset))
    assert report.passed, str(report)


def test_training_exports_pass_where_memory_is_enough_for_one_size_only(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = dropping(0.5)
    monkeypatch.setattr("kir.numerics.cost.MAX_RUN_BYTES", choose_runs(graph)[0].cost.bytes)
    assert len(choose_runs(graph)) == 1
    report = verify_file(graph, model_of(graph))
    assert report.passed, str(report)


STILL = "y: the switch 'training_mode' does not change this output, as dropping would"


def training_problems(graph: Graph, model: bytes) -> list[str]:
    statement = check_training(graph, model)
    assert statement is not None
    assert statement.part == "training"
    return [str(problem) for problem in statement.problems]


def test_small_float16_that_is_kept_passes() -> None:
    """Numbers below the normal ones are rounded by large parts of themselves."""
    build = Build("f16[batch, 64]")
    switch = build.graph.add(InputOp("training_mode", parse_type("bool[]"), Data(np.array(True)))).output
    small = build(Mul(), build.inputs[0], np.float16(1e-6))
    graph = build.finish(build(Dropout(0.3, None, None), small, switch))
    assert training_problems(graph, model_of(graph)) == []


def test_another_rate_in_the_file_fails() -> None:
    problems = training_problems(dropping(0.5), model_of(dropping(0.4)))
    assert any("elements were kept; expected" in problem for problem in problems)
    assert any("off by a factor" in problem for problem in problems)


def test_a_file_that_drops_nothing_fails() -> None:
    graph = dropping(0.5)
    proto = to_model_proto(graph)
    (node,) = (node for node in proto.graph.node if node.op_type == "Dropout")
    (masking,) = (one for one in proto.graph.node if one.op_type == "Where")
    masking.op_type = "Identity"
    masking.input[:] = node.input[:1]
    proto.graph.node.remove(node)
    assert training_problems(graph, proto.SerializeToString()) == ["layer dropout: nothing is dropped at random", STILL]


@pytest.mark.parametrize("seed", [None, 1])
def test_a_dropout_that_onnxruntime_takes_out_fails(seed: int | None) -> None:
    graph = dropping(0.5, seed=seed)
    proto = to_model_proto(graph)
    (node,) = (node for node in proto.graph.node if node.op_type == "Dropout")
    (masking,) = (one for one in proto.graph.node if one.op_type == "Where")
    # Nothing reads its mask any more.
    proto.graph.node.remove(masking)
    del node.output[1:]
    node.output[0] = masking.output[0]
    assert training_problems(graph, proto.SerializeToString()) == [STILL]


def test_a_file_that_drops_in_vain_fails() -> None:
    graph = dropping(0.5)
    proto = to_model_proto(graph)
    (dropout,) = (node for node in proto.graph.node if node.op_type == "Dropout")
    (masking,) = (one for one in proto.graph.node if one.op_type == "Where")
    for node in proto.graph.node:
        node.input[:] = [dropout.input[0] if name == masking.output[0] else name for name in node.input]
    assert training_problems(graph, proto.SerializeToString()) == [STILL]


def test_outputs_that_dropping_does_not_change_pass() -> None:
    build = Builder("f32[batch, 64]")
    switch = build.graph.add(InputOp("training_mode", parse_type("bool[]"), Data(np.array(True)))).output
    dropped = build.add(Dropout(0.5, None, None), build.x, switch, layer="dropout")
    build.graph.add(Output("independent"), build.add(Tanh(), build.x))
    # Everything is below infinity, whatever is dropped.
    build.graph.add(Output("settled"), build.add(Less(), dropped, build.constant(np.float32(np.inf))))
    graph = build.build(build.dense(dropped, 10, "logits"))
    assert training_problems(graph, model_of(graph)) == []


def test_models_without_dropout_need_no_training_check() -> None:
    assert check_training(mlp(), b"not even a model") is None


# Two files


def test_two_files_of_one_model_agree() -> None:
    graph = mlp()
    optimised = graph.copy()
    passes.run(optimised, passes.pipeline(2))
    report = verify_onnx_files(model_of(graph, 13), model_of(optimised))
    assert report.passed, str(report)
    assert "first file" in report.method
    assert report.outputs[0].allowed > 0


def test_two_files_of_embeddings_agree() -> None:
    assert verify_onnx_files(model_of(_embedding()), model_of(_embedding())).passed


def test_two_different_files_do_not_agree(tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path, graph in zip(paths, (mlp(), mlp(scaled("dense_0/kernel", 1.001))), strict=True):
        export_graph(graph, path)
    assert not verify_onnx_files(paths[0], str(paths[1])).passed


def test_two_files_of_other_signatures_are_a_clear_error() -> None:
    with pytest.raises(MismatchError, match="another signature"):
        verify_onnx_files(model_of(mlp()), model_of(_variance()))


def test_bisect_passes_over_outputs_that_nobody_reads(tmp_path: Path) -> None:
    graph = Sequential([Input(shape=(None, 3)), LSTMLayer(4, return_sequences=True)]).to_graph()
    export_graph(graph, tmp_path / "m.onnx")
    assert bisect(graph, tmp_path / "m.onnx").node is None


def test_what_is_run_with_tensor_float_32_says_what_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are off by as much as factors of 10 bits are; there is no GPU here, so the CPU runs rounded weights."""
    loads = session.Session

    def load(worker: Any, model: Any, provider: str, settings: Any) -> Any:
        return loads(worker, model, "cpu", settings)

    monkeypatch.setattr(session, "Session", load)
    monkeypatch.setattr(session, "node_providers", lambda *given: {})
    assert verify(mlp(), provider="cuda-tf32").passed
    rounded = mlp(lambda name, array: array.astype(np.float16).astype(np.float64))
    report = verify(mlp(), rounded, provider="cuda-tf32")
    assert not report.passed
    assert "TensorFloat-32 rounds the factors of products to 10 bits" in str(report)
    assert "TensorFloat-32" not in str(verify(mlp(), rounded, provider="cuda"))


def test_a_file_that_does_not_run_is_told_by_where_it_differs(tmp_path: Path) -> None:
    """A kernel of another shape: onnxruntime refuses the inputs that the model takes, and the layer is named."""
    path = tmp_path / "m.onnx"
    export_graph(graph := mlp(), path)
    model = onnx.load(path)
    kernel = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [48, 10])
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel)[:40], kernel.name))
    onnx.save(model, path)
    report = verify_file(graph, path, written=graph)
    assert [part for part, _ in report.problems] == ["file", "outputs"]
    assert report.problems[0][1].layer == "logits"
    with pytest.raises((MismatchError, FormatError)):
        verify_file(graph, path)


@pytest.mark.parametrize("layer", [GRULayer, LSTMLayer, layers.SimpleRNN])
def test_infinities_that_reach_a_recurrence_are_unsettled(layer: Any) -> None:
    """Products of them are NaN, or the bound that a runtime's kernel clips to."""
    x = Input((5, 3), name="x")
    endless = layers.Lambda(lambda x: x / K.maximum(x, -1e-30) / 1e-300 / 1e-300, name="endless")(x)
    y = layer(3, activation="relu", return_sequences=True)(endless)
    graph = Model(x, y).to_graph()
    feeds = {"x": np.ones((1, 5, 3), np.float32)}
    generator = np.random.default_rng(0)
    runs = [Plan(graph).run(feeds, RandomRounding(generator, saturates=saturates)) for saturates in (False, True)]
    first, second = (next(iter(run.values())) for run in runs)
    assert (np.isfinite(second) & ~np.isfinite(first)).any()
    report = verify(graph)
    assert report.passed, str(report)


@pytest.mark.parametrize("pool", [layers.MaxPooling2D, layers.GlobalMaxPooling2D])
def test_what_a_max_pool_makes_of_nan_is_unsettled(pool: Any) -> None:
    """A runtime's kernel passes over it, and begins at the least number."""
    x = Input((4, 4, 2), name="x")
    graph = Model(x, pool()(layers.Lambda(lambda x: K.sqrt(x), name="root")(x))).to_graph()
    report = verify(graph)
    assert report.passed, str(report)
    assert not any("FAIL" in str(one) for one in report.statements)


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16"])
def test_a_value_of_16_bits_has_more_of_them_for_some_readers(dtype: str) -> None:
    """A runtime computes in float32, and leaves a pair of casts out: x less a copy of x is no zero."""
    x = Input((15,), name="x", dtype="float16")
    y = layers.RMSNormalization(dtype=dtype)(x)
    difference = layers.Subtract(dtype=dtype)([y, layers.Permute((1,), dtype=dtype)(y)])
    y = layers.LayerNormalization(dtype=dtype)(layers.Rescaling(1000.0, dtype=dtype)(difference))
    graph = Model(x, y).to_graph()
    report = verify(graph)
    assert report.passed, str(report)


def test_masks_of_16_bits_stay_zeros_and_ones() -> None:
    """Their copies are not rounded: (1 - mask) times a large number would show nothing."""
    x = Input((4, 3), name="x", dtype="bool")

    def penalty(x: Any) -> Any:
        return (1 - K.transpose(K.cast(K.cast(x, "float32"), "float16"), (0, 2, 1))) * 60000.0

    graph = Model(x, layers.Lambda(penalty, dtype="float16", name="y")(x)).to_graph()
    report = verify(graph)
    assert report.passed
    assert not report.not_shown
