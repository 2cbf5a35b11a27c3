"""`kir.backend` against `keras.ops`: numbers and dtypes, on arrays at once and traced into a graph of unknown batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir import backend as K
from kir.errors import InvalidArgumentError, KirError, ShapeError, TraceError
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.structural import Input, Output
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import TensorType, as_dtype

ops = keras.ops
BATCH = symbol("batch")
RANDOM = np.random.default_rng(0)


def trace(function: Callable[..., Any], *arrays: np.ndarray) -> Graph:
    """Return a graph of the function, whose inputs are typed like the arrays but for a first axis called batch."""
    graph = Graph()
    tracer = Tracer(graph)
    tensors = []
    for index, array in enumerate(arrays):
        shape = (BATCH, *array.shape[1:]) if array.ndim else ()
        node = graph.add(Input(f"x{index}", TensorType(as_dtype(array.dtype), shape)))
        tensors.append(Tensor(node.output, tracer))
    with tracer.layer("traced", "Lambda"):
        outputs = function(*tensors)
        for index, output in enumerate(outputs if isinstance(outputs, (list, tuple)) else [outputs]):
            value = output if isinstance(output, Tensor) else tracer.constant(output)
            graph.add(Output(f"y{index}"), value.value)
    graph.check()
    return graph


def run_traced(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    graph = trace(function, *arrays)
    results = run(graph, {f"x{index}": array for index, array in enumerate(arrays)})
    return [results[f"y{index}"] for index in range(len(results))]


def assert_same(actual: Any, expected: Any, tolerance: float = 2e-6) -> None:
    expected = np.asarray(expected)
    assert np.asarray(actual).dtype == expected.dtype
    assert np.shape(actual) == expected.shape
    wide = np.result_type(expected.dtype, np.int8)
    limit = 4e-3 if expected.dtype.itemsize == 2 and wide.kind != "i" else tolerance
    np.testing.assert_allclose(actual, expected, rtol=limit, atol=limit)


def floats(*shape: int, low: float = -3, high: float = 3, dtype: str = "float32") -> np.ndarray:
    return RANDOM.uniform(low, high, shape).astype(dtype)


def integers(*shape: int, low: int = -5, high: int = 6, dtype: str = "int32") -> np.ndarray:
    return RANDOM.integers(low, high, shape).astype(dtype)


X = floats(2, 3, 4)
Y = floats(2, 3, 4)
M = floats(2, 4, 5)
ROWS = floats(4, 6)
POSITIVE = floats(2, 3, 4, low=0.1)
UNIT = floats(2, 3, 4, low=-0.99, high=0.99)
INTEGERS = integers(2, 3, 4)
J = integers(2, 3, 4, low=1)
SMALL = integers(2, 3, 4, dtype="int8")
UNSIGNED = integers(2, 3, 4, low=0, dtype="uint8")
WIDE = integers(2, 3, 4, dtype="int64")
HALF = floats(2, 3, 4, dtype="float16")
B = RANDOM.random((2, 3, 4)) < 0.5
C = RANDOM.random((2, 3, 4)) < 0.5
SPECIAL = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5]], "float32")


@dataclass(frozen=True)
class Case:
    """A function of a namespace (`kir.backend` or `keras.ops`) and of tensors."""

    function: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]

    def reference(self) -> list[Any]:
        # Keras's NumPy backend updates slices in place.
        result = self.function(ops, *[array.copy() for array in self.arrays])
        return list(result) if isinstance(result, (list, tuple)) else [result]


CASES: dict[str, Case] = {}


def case(name: str, function: Callable[..., Any], *arrays: np.ndarray) -> None:
    assert name not in CASES
    CASES[name] = Case(function, arrays)


PIXELS = floats(2, 9, 8, 4, low=-1, high=1)
KERNEL = floats(3, 2, 4, 6, low=-0.5, high=0.5)
POINTS = floats(1, 1, 8, 3, low=-0.5, high=0.5)
TURNED = floats(3, 2, 5, 4, low=-0.5, high=0.5)
case("conv", lambda k, x: k.conv(x, KERNEL), PIXELS)
case("conv of steps", lambda k, x: k.conv(x, KERNEL[0], 2), PIXELS[:, 0])
case("conv same", lambda k, x: k.conv(x, KERNEL, strides=2, padding="same"), PIXELS)
case("conv groups", lambda k, x: k.conv(x, KERNEL[..., :3, :], (2, 1), data_format="channels_first"), PIXELS)
case("conv dilated", lambda k, x: k.conv(x, KERNEL, dilation_rate=2), PIXELS)
case("depthwise_conv", lambda k, x: k.depthwise_conv(x, KERNEL, 2, "same"), PIXELS)

case("separable_conv", lambda k, x: k.separable_conv(x, KERNEL[..., :2], POINTS, padding="same"), PIXELS)
case("conv_transpose", lambda k, x: k.conv_transpose(x, TURNED, 2, "same"), PIXELS)
case("conv_transpose more", lambda k, x: k.conv_transpose(x, TURNED, (3, 2), output_padding=(2, 0)), PIXELS)
case("max_pool", lambda k, x: k.max_pool(x, 2, 2), PIXELS)
case("max_pool same", lambda k, x: k.max_pool(x, (3, 2), 2, "same"), PIXELS)
case("average_pool", lambda k, x: k.average_pool(x, 3, 3, data_format="channels_first"), PIXELS)
case("average_pool same", lambda k, x: k.average_pool(x, 3, (1, 2), padding="same"), PIXELS)
case("adaptive_max_pool", lambda k, x: k.adaptive_max_pool(x, (3, 5)), PIXELS)
case("adaptive_average_pool", lambda k, x: k.adaptive_average_pool(x, (5, 1)), PIXELS)

UNARY = [
    "abs", "absolute", "negative", "sign", "square", "exp", "exp2", "expm1", "sin", "cos", "tan", "arctan", "sinh",
    "cosh", "tanh", "arcsinh", "erf", "floor", "ceil", "round", "trunc", "isnan", "isinf", "isfinite",
    "logical_not", "sum", "prod", "mean", "var", "std", "max", "min", "amax", "amin", "any", "all", "count_nonzero",
    "logsumexp", "ravel", "deg2rad", "rad2deg", "transpose", "zeros_like", "ones_like", "sort", "argsort",
    "nan_to_num", "stop_gradient", "ptp",
]  # fmt: skip
for name in UNARY:
    if hasattr(ops, name):
        case(name, lambda k, x, name=name: getattr(k, name)(x), X)
for name in ["sqrt", "rsqrt", "log", "log1p", "log2", "log10", "reciprocal"]:
    case(name, lambda k, x, name=name: getattr(k, name)(x), POSITIVE)
for name in ["arcsin", "arccos", "arctanh", "log1p"]:
    case(f"{name} in the unit", lambda k, x, name=name: getattr(k, name)(x), UNIT)
case("arccosh", lambda k, x: k.arccosh(x), POSITIVE + 1)
for name in [
    "exp",
    "sqrt",
    "tanh",
    "mean",
    "var",
    "std",
    "floor",
    "sum",
    "prod",
    "max",
    "square",
    "sign",
    "abs",
    "erf",
    "any",
    "count_nonzero",
    "log1p",
]:
    for label, array in {"int32": J, "half": np.abs(HALF), "uint8": UNSIGNED}.items():
        if name != "erf" or label == "half":
            case(f"{name} of {label}", lambda k, x, name=name: getattr(k, name)(x), array)
for name in [
    "sum",
    "any",
    "all",
    "max",
    "min",
    "mean",
    "std",
    "argmax",
    "count_nonzero",
    "cumsum",
    "square",
    "logical_not",
]:
    axis = {"argmax": 1, "cumsum": 1}.get(name)
    case(
        f"{name} of bool",
        lambda k, x, name=name, axis=axis: getattr(k, name)(x, axis=axis) if axis else getattr(k, name)(x),
        B,
    )
case("sum of int8", lambda k, x: k.sum(x, axis=1), SMALL)
case("exp near zero", lambda k, x: k.expm1(x), X * 1e-5)
case("log near one", lambda k, x: k.log1p(x), X * 1e-5)
case("log1p special", lambda k, x: k.log1p(x), np.array([[np.inf, -1, 0, np.nan, 1e30]], "float32"))
case("expm1 special", lambda k, x: k.expm1(x), np.array([[np.inf, -np.inf, 0, np.nan, 80]], "float32"))
case("arctan2 origin", lambda k, x: k.arctan2(x, k.zeros_like(x)), np.array([[0.0, 1, -1]], "float32"))
for name in ["isnan", "isinf", "isfinite", "nan_to_num", "sign", "floor", "abs"]:
    case(f"{name} special", lambda k, x, name=name: getattr(k, name)(x), SPECIAL)

BINARY = [
    "add", "subtract", "multiply", "divide", "true_divide", "maximum", "minimum", "arctan2", "hypot", "logaddexp",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
    "logical_xor", "mod", "fmod", "divide_no_nan", "isclose",
]  # fmt: skip
for name in BINARY:
    case(name, lambda k, x, y, name=name: getattr(k, name)(x, y), X, Y)
for name in ["add", "subtract", "multiply", "divide", "maximum", "mod", "floor_divide", "less", "equal", "power"]:
    for label, (a, b) in {
        "int32": (INTEGERS, J),
        "int8 int32": (SMALL, J),
        "int32 float": (J, POSITIVE),
        "uint8 int8": (UNSIGNED, np.abs(SMALL) + np.int8(1)),
        "half float": (np.abs(HALF), POSITIVE),
        "bool int": (B, J),
    }.items():
        if name == "power" and label == "int32":
            a = J
        if not (name == "floor_divide" and "float" in label):
            case(f"{name} of {label}", lambda k, x, y, name=name: getattr(k, name)(x, y), a, b)
for name in ["add", "multiply", "maximum", "equal", "logical_and"]:
    case(f"{name} of bool", lambda k, x, y, name=name: getattr(k, name)(x, y), B, C)
case("floor_divide of floats", lambda k, x: k.floor_divide(x, 0.75), X)
case("mod by a positive number", lambda k, x: k.mod(x, 2.0) if k is ops else x % 2.0, X)
case("mod by a negative number", lambda k, x: k.mod(x, -1.25), X)
case("float scalar with int tensor", lambda k, x: k.add(x, 0.5), INTEGERS)
case("int scalar with half tensor", lambda k, x: k.multiply(3, x), HALF)
case("int scalar with int8 tensor", lambda k, x: k.add(x, 1), SMALL)
case("bool tensor with int scalar", lambda k, x: k.add(x, 1), B)
case("comparison with a float", lambda k, x: k.greater(x, 0.5), INTEGERS)
case("square by power", lambda k, x: k.power(x, 2), X)
case("power of a number", lambda k, x: k.power(2.0, x), X)
case("broadcast", lambda k, x: k.add(x, X[0, 0]), X)
case("clip", lambda k, x: k.clip(x, -1, 1.5), X)
case("clip of int", lambda k, x: k.clip(x, -2, 3), INTEGERS)
case("clip of int by fractions", lambda k, x: k.clip(x, -1.5, 2.5), INTEGERS)
case("clip by tensors", lambda k, x: k.clip(x, X[0, 0] - 1, X[0, 0] + 1), Y)
case("round to decimals", lambda k, x: k.round(x, 2), X)
case("round to tens", lambda k, x: k.round(x, -1), X * 30)
case("where", lambda k, c, x, y: k.where(c, x, y), B, X, Y)
case("where with a number", lambda k, c, x: k.where(c, x, 0), B, X)
case("where with int and float", lambda k, c, x: k.where(c, x, 0.5), B, INTEGERS)
case("cast to int", lambda k, x: k.cast(x, "int32"), X)
case("cast to bool", lambda k, x: k.cast(x, "bool"), INTEGERS)
case("cast to half", lambda k, x: k.cast(x, "float16"), X)

for name in ["sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "logsumexp"]:
    for some in (1, -1, (0, 2)):
        for keepdims in (False, True):
            case(
                f"{name} {some} {keepdims}",
                lambda k, x, name=name, axis=some, keepdims=keepdims: getattr(k, name)(x, axis=axis, keepdims=keepdims),
                X,
            )
for name in ("argmax", "argmin"):
    for axis in (None, 0, -1):
        case(f"{name} {axis}", lambda k, x, name=name, axis=axis: getattr(k, name)(x, axis=axis), X)
    case(f"{name} keepdims", lambda k, x, name=name: getattr(k, name)(x, axis=1, keepdims=True), INTEGERS)
case("count_nonzero axis", lambda k, x: k.count_nonzero(x, axis=1), INTEGERS)
case("average", lambda k, x: k.average(x, axis=1, weights=np.array([1, 2, 3.5], "float32")), X)
case("average full", lambda k, x, y: k.average(x, axis=2, weights=y), X, POSITIVE)
case("moments", lambda k, x: k.moments(x, axes=[1]), X)
for order in (None, 1, 2, 3, 0, np.inf, -np.inf):
    case(f"norm {order}", lambda k, x, order=order: k.norm(x, ord=order, axis=-1), X)
for matrix_order in (None, "fro", 1, -1, np.inf, -np.inf):
    case(f"matrix norm {matrix_order}", lambda k, x, ord=matrix_order: k.norm(x, ord=ord, axis=(-2, -1)), X)
case("matrix norm turned", lambda k, x: k.norm(x, ord=1, axis=(2, 1), keepdims=True), X)

case("reshape", lambda k, x: k.reshape(x, (-1, 12)), X)
case("reshape to two", lambda k, x: k.reshape(x, (k.shape(x)[0], 2, 6)), X)
case("transpose axes", lambda k, x: k.transpose(x, (0, 2, 1)), X)
case("swapaxes", lambda k, x: k.swapaxes(x, 0, -1), X)
case("moveaxis", lambda k, x: k.moveaxis(x, 0, -1), X)
case("moveaxis two", lambda k, x: k.moveaxis(x, (0, 1), (-1, 0)), X)
for axes in (0, -1, (0, 2)):
    case(f"expand_dims {axes}", lambda k, x, axes=axes: k.expand_dims(x, axes), X)
case("squeeze", lambda k, x: k.squeeze(x, 1), X[:, :1])
case("squeeze all", lambda k, x: k.squeeze(x), X[:, :1, :1])
case("concatenate", lambda k, x, y: k.concatenate([x, y], axis=-1), X, Y)
case("concatenate dtypes", lambda k, x, y: k.concatenate([x, y], axis=1), X, INTEGERS)
case("stack", lambda k, x, y: k.stack([x, y], axis=1), X, Y)
case("hstack", lambda k, x, y: k.hstack([x, y]), X, Y)
case("vstack", lambda k, x, y: k.vstack([x, y]), X, Y)
case("split", lambda k, x: k.split(x, 2, axis=-1), X)
case("split at", lambda k, x: k.split(x, [1, 2], axis=1), X)
case("unstack", lambda k, x: k.unstack(x, axis=1), X)
case("repeat", lambda k, x: k.repeat(x, 3, axis=1), X)
case("repeat flat", lambda k, x: k.repeat(x, 2, axis=None), X)
case("repeat each", lambda k, x: k.repeat(x, [1, 0, 2], axis=1), X)
case("tile", lambda k, x: k.tile(x, (2, 1, 3)), X)
case("tile fewer", lambda k, x: k.tile(x, 2), X)
case("tile more", lambda k, x: k.tile(x, (2, 1, 1, 1)), X)
case("flip", lambda k, x: k.flip(x, axis=1), X)
case("flip all", lambda k, x: k.flip(x), X)
for shift, along in ((1, 1), (-2, -1), (5, 1), (1, None), ((1, 2), (1, 2)), (1, 0)):
    case(f"roll {shift} {along}", lambda k, x, shift=shift, along=along: k.roll(x, shift, along), X)
case("broadcast_to", lambda k, x: k.broadcast_to(x, (k.shape(x)[0], 5, 4)), X[:, :1])
case("pad", lambda k, x: k.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=2.5), X)
case("pad reflect", lambda k, x: k.pad(x, ((0, 0), (1, 2), (0, 3)), mode="reflect"), X)
case("pad one number", lambda k, x: k.pad(x, 1), X)
case("take", lambda k, x: k.take(x, np.array([2, 0, -1], "int32"), axis=1), X)
case("take matrix", lambda k, x: k.take(x, np.array([[2, 0], [1, 1]], "int32"), axis=-1), X)
case("take flat", lambda k, x: k.take(x, np.array([5, 0], "int32")), X)
case("take by tensor", lambda k, x: k.take(ROWS, x, axis=0), np.abs(INTEGERS) % 4)
case("take_along_axis", lambda k, x, i: k.take_along_axis(x, i, axis=1), X, np.abs(INTEGERS) % 3)
case("take_along_axis broadcast", lambda k, x, i: k.take_along_axis(x, i, axis=1), X, np.array([[[1]], [[2]]], "int32"))
case("one_hot", lambda k, x: k.one_hot(x, 4), np.minimum(INTEGERS, 3))
case("one_hot axis", lambda k, x: k.one_hot(x, 4, axis=1, dtype="int32"), np.minimum(INTEGERS, 3))
# Keras declares int32 for the indices; its NumPy backend gives int64.
case("top_k", lambda k, x: [k.cast(part, "float32") for part in k.top_k(x, 3)], X)
case("sort axis", lambda k, x: k.sort(x, axis=1), X)
case("cumsum", lambda k, x: k.cumsum(x, axis=1), X)
case("cumsum of int8", lambda k, x: k.cumsum(x, axis=1), SMALL)
case("cumsum flat", lambda k, x: k.cumsum(x, axis=None), X)
case("diff", lambda k, x: k.diff(x, n=2, axis=1), X)
case("tril", lambda k, x: k.tril(x, k=-1), X)
case("triu", lambda k, x: k.triu(x, k=1), X)
case("slice", lambda k, x: k.slice(x, (0, 1, 2), (k.shape(x)[0], 2, 2)), X)
case("slice_update", lambda k, x: k.slice_update(x, (0, 1, 2), k.zeros_like(x)[:, :2, :2]), X)
case("full_like", lambda k, x: k.full_like(x, 7), INTEGERS)
case("zeros of its shape", lambda k, x: k.zeros(k.shape(x)) + x, X)
case("eye", lambda k, x: k.matmul(x, k.eye(4, 6, k=1)), X)
case("arange", lambda k, x: k.add(x, k.arange(4)), X)
case("arange step", lambda k, x: k.add(x, k.arange(2, 10, 2)), INTEGERS)
case("linspace", lambda k, x: x + k.linspace(0.0, 1.0, 4), X)
case("fft", lambda k, x: k.fft((x, x * 2)), X)
case("fft2", lambda k, x: k.fft2((x, k.zeros_like(x))), X)
case("ifft2", lambda k, x: k.ifft2((x, x + 1)), X)
case("rfft", lambda k, x: k.rfft(x), X)
case("rfft of more samples", lambda k, x: k.rfft(x, 7), X)
case("rfft of fewer samples", lambda k, x: k.rfft(x, 3), X)

case("matmul", lambda k, x, y: k.matmul(x, y), X, M)
case("matmul by matrix", lambda k, x: k.matmul(x, M[0]), X)
case("matmul of int8", lambda k, x: k.matmul(x, np.ones((4, 2), "int8")), SMALL)
case("matmul of uint8", lambda k, x: k.matmul(x, np.ones((4, 2), "uint8")), UNSIGNED)
case("dot", lambda k, x: k.dot(x, M[0]), X)
case("dot of batches", lambda k, x, y: k.dot(x, y), X, M)
case("dot by vector", lambda k, x: k.dot(x, X[0, 0]), X)
case("tensordot", lambda k, x: k.tensordot(x, M[0], axes=1), X)
case("tensordot two axes", lambda k, x: k.tensordot(x, floats_constant(), axes=2), X)
case("tensordot named", lambda k, x, y: k.tensordot(x, y, axes=([0, 1], [0, 1])), X, Y)
case("einsum", lambda k, x, y: k.einsum("bij,bjk->bik", x, y), X, M)
case("outer", lambda k, x, y: k.outer(x, y), X, Y)
case("inner", lambda k, x: k.inner(x, Y[0]), X)
case("vdot", lambda k, x, y: k.vdot(x, y), X, Y)

QUERY, KEYS, VALUES = floats(2, 4, 6, 3), floats(2, 5, 6, 3), floats(2, 5, 6, 3)
HALF_QUERY, HALF_KEYS = floats(2, 4, 2, 3, dtype="float16"), floats(2, 5, 2, 3, dtype="float16")
BIAS, KEPT = floats(2, 6, 4, 5), RANDOM.random((2, 1, 4, 5)) < 0.5
# A query that may look nowhere.
KEPT[0, 0, 1] = False
attend = "dot_product_attention"
case(attend, lambda k, q, x, y: k.dot_product_attention(q, x, y), QUERY, KEYS, VALUES)
case(f"{attend} biased", lambda k, q, x, y, b: k.dot_product_attention(q, x, y, b), QUERY, KEYS, VALUES, BIAS)
case(f"{attend} masked", lambda k, q, x, m: k.dot_product_attention(q, x, x, mask=m), QUERY, KEYS, KEPT)
case(f"{attend} scaled", lambda k, q, x: k.dot_product_attention(q, x, x, None, None, 0.3), QUERY, KEYS)
case(f"{attend} causal", lambda k, q, x: k.dot_product_attention(q, x, x, is_causal=True), QUERY, KEYS)
case(f"{attend} of fewer queries", lambda k, q, x: k.dot_product_attention(x, q, q, is_causal=True), QUERY, KEYS)
case(
    f"{attend} all",
    lambda k, q, x, y, b, m: k.dot_product_attention(q, x, y, b[:, :, :1], m, 0.5, True, False),
    *(QUERY, KEYS, VALUES, BIAS, KEPT),
)
case(f"{attend} f16", lambda k, q, x: k.dot_product_attention(q, x, x, is_causal=True), HALF_QUERY, HALF_KEYS)

case("normalize", lambda k, x: k.normalize(x, axis=1), X)
case("normalize order", lambda k, x: k.normalize(x, axis=-1, order=1), X)
case(
    "batch_normalization",
    lambda k, x: k.batch_normalization(x, X[0, :, 0], np.abs(X[0, :, 1]), axis=1, offset=X[0, :, 2], scale=X[0, :, 3]),
    Y,
)


def floats_constant() -> np.ndarray:
    return np.linspace(-1, 1, 24, dtype="float32").reshape(3, 4, 2)


@pytest.mark.parametrize("name", CASES)
def test_function_equals_keras_on_arrays_and_traced(name: str) -> None:
    row = CASES[name]
    given = row.function(K, *row.arrays)
    on_arrays = list(given) if isinstance(given, (list, tuple)) else [given]
    traced = run_traced(lambda *tensors: row.function(K, *tensors), *row.arrays)
    for one, other, expected in zip(on_arrays, traced, row.reference(), strict=True):
        assert isinstance(one, np.ndarray)
        assert_same(one, expected)
        assert_same(other, expected)


INDICES = {
    "integer": lambda x: x[:, 1],
    "negative integer": lambda x: x[:, -1, 2],
    "batch": lambda x: x[0],
    "slice": lambda x: x[:, 1:3],
    "slice from the batch": lambda x: x[1:],
    "slice of the batch": lambda x: x[:-1],
    "steps": lambda x: x[:, ::2, 1::2],
    "backwards": lambda x: x[:, ::-1],
    "batch backwards": lambda x: x[::-1],
    "backwards between": lambda x: x[..., 3:0:-2],
    "beyond": lambda x: x[:, 1:100, -100:2],
    "empty": lambda x: x[:, 2:1],
    "new axis": lambda x: x[:, None, 1:, np.newaxis, 2],
    "ellipsis": lambda x: x[..., 0],
    "ellipsis between": lambda x: x[0, ..., 1:2],
    "array": lambda x: x[:, [2, 0, 0]],
    "matrix": lambda x: x[..., np.array([[0, 1], [-1, 2]])],
    "array beside integer": lambda x: x[:, 1, [0, 3]],
    "array and new axis": lambda x: x[:, [0, 1], None],
}


@pytest.mark.parametrize("name", INDICES)
def test_index_equals_numpy(name: str) -> None:
    assert_same(K.get_item(X, _key_of(INDICES[name])), INDICES[name](X))
    (traced,) = run_traced(INDICES[name], X)
    assert_same(traced, INDICES[name](X))


def _key_of(function: Callable[[Any], Any]) -> Any:
    class Recorder:
        def __getitem__(self, key: Any) -> Any:
            return key

    return function(Recorder())


_bounds = st.one_of(st.none(), st.integers(-6, 6))


@given(_bounds, _bounds, st.sampled_from([None, 1, 2, 3, -1, -2, -3]))
def test_any_slice_of_known_size_equals_python(start: int | None, stop: int | None, step: int | None) -> None:
    key = (slice(None), slice(start, stop, step))
    np.testing.assert_array_equal(K.get_item(X, key), X[key])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.exp(x),
        lambda x: np.sum(x, axis=1, keepdims=True),
        lambda x: np.var(x, axis=1, ddof=1),
        lambda x: np.std(x, axis=-1),
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.concatenate((x, x)),
        lambda x: np.clip(x, a_min=-1, a_max=1),
        lambda x: np.clip(x, -1, None),
        lambda x: np.where(x > 0, x, -x),
        lambda x: np.argmax(x, axis=-1).astype("int32"),
        lambda x: np.reshape(x, (-1, 4)),
        lambda x: np.transpose(x, axes=(0, 2, 1)),
        lambda x: np.maximum(x, 0) + np.abs(x) ** 2,
        lambda x: np.ones(4, "float32") * x - np.float32(2),
        lambda x: 2 / (x + 5) // 1 % 3,
        lambda x: np.stack([x, x], axis=-1),
        lambda x: np.mean(a=x, axis=0),
        lambda x: np.matmul(x, floats_constant()[0]),
        lambda x: np.tanh(-x)[:, ::2].T,
        lambda x: np.round(x, 1) + abs(x),
        lambda x: ~(x > 0) & (x < 1) | (x == 2) ^ (x != 3),
    ],
)
def test_numpy_functions_and_operators_trace(function: Callable[[Any], Any]) -> None:
    (actual,) = run_traced(function, X)
    assert_same(actual, function(X))


def test_legacy_names() -> None:
    vectors = K.batch_dot(X[:, 0], Y[:, 0])
    np.testing.assert_allclose(vectors, np.sum(X[:, 0] * Y[:, 0], -1, keepdims=True), rtol=1e-5)
    for axes, equation in ((None, "bij,bjk->bik"), ((2, 1), "bij,bjk->bik")):
        np.testing.assert_allclose(K.batch_dot(X, M, axes), np.einsum(equation, X, M), rtol=1e-4, atol=1e-5)
        (traced,) = run_traced(lambda x, y, axes=axes: K.batch_dot(x, y, axes), X, M)
        np.testing.assert_allclose(traced, np.einsum(equation, X, M), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(K.batch_dot(X, Y, 1), np.einsum("bij,bik->bjk", X, Y), rtol=1e-4, atol=1e-5)
    four = floats(2, 3, 4, 5)
    np.testing.assert_allclose(K.batch_dot(four, Y, (1, 1)), np.einsum("bijk,bil->bjkl", four, Y), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(K.batch_flatten(X), X.reshape(2, 12))
    np.testing.assert_array_equal(K.permute_dimensions(X, (0, 2, 1)), X.transpose(0, 2, 1))
    np.testing.assert_array_equal(K.temporal_padding(X, (1, 2)), np.pad(X, ((0, 0), (1, 2), (0, 0))))
    np.testing.assert_array_equal(K.reverse(X, 1), X[:, ::-1])
    np.testing.assert_array_equal(K.repeat_elements(X, 2, 1), np.repeat(X, 2, 1))
    np.testing.assert_array_equal(K.gather(ROWS, [3, 0]), ROWS[[3, 0]])
    np.testing.assert_array_equal(K.clip(X, min_value=0, max_value=1), np.clip(X, 0, 1))
    np.testing.assert_array_equal(K.relu(X, alpha=0.1), np.where(X > 0, X, np.float32(0.1) * X))
    np.testing.assert_array_equal(K.bias_add(X, X[0, 0]), X + X[0, 0])


def test_l2_normalize_equals_tensorflows_formula() -> None:
    rows = np.concatenate([X[0], np.zeros((1, 4), "float32"), np.full((1, 4), 1e-9, "float32")])
    expected = rows / np.sqrt(np.maximum(np.sum(rows**2, axis=1, keepdims=True), 1e-12))
    (actual,) = run_traced(lambda x: K.l2_normalize(x, axis=1), rows)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_switch_extends_its_condition() -> None:
    condition = np.array([True, False])
    (actual,) = run_traced(lambda c, x: K.switch(c, lambda: x, x * 0), condition, X)
    np.testing.assert_array_equal(actual, np.where(condition[:, None, None], X, 0))


def test_symbolic_sizes_compute() -> None:
    def function(x: Any) -> Any:
        batch = x.shape[0]
        ones = K.ones((batch, 2))
        numbers = K.cast(K.arange(batch), "float32")
        mean = K.sum(x, axis=0) / batch
        return ones, numbers, mean, x * K.sqrt(batch), K.reshape(x, K.stack([K.shape(x)[0], K.prod(K.shape(x)[1:])]))

    actual = run_traced(function, X)
    expected = (
        np.ones((2, 2), "float32"),
        np.arange(2, dtype="float32"),
        X.mean(0),
        X * np.sqrt(np.float32(2)),
        X.reshape(2, 12),
    )
    for one, other in zip(actual, expected, strict=True):
        assert_same(one, other)


def test_numbers_up_to_an_unknown_size_may_be_floats() -> None:
    (actual,) = run_traced(lambda x: x[:, 0, 0] + K.arange(x.shape[0], -x.shape[0], -2.0), X)
    assert_same(actual, X[:, 0, 0] + np.arange(2, -2, -2.0, dtype="float32"))


def test_an_axis_of_unknown_size_is_broadcast_to_one_of_another_name() -> None:
    (actual,) = run_traced(lambda x: K.broadcast_to(x, (symbol("other"), *x.shape[1:])), X)
    assert_same(actual, X)


def test_a_shape_may_be_computed_with_tensors() -> None:
    def grown(x: Any) -> Any:
        batch = K.expand_dims(K.shape(x)[0], -1)
        tall = K.stack([K.shape(x)[0] * 1, K.shape(x)[1] + 0, 1])
        counts = K.concatenate([batch, K.convert_to_tensor([2, 1])], axis=0)
        return K.tile(K.ones((1, 2, 3)), counts) + K.broadcast_to(K.expand_dims(x, -1), K.multiply(tall, [1, 1, 3]))

    x = floats(3, 4)
    assert_same(run_traced(grown, x)[0], np.repeat(x[..., None], 3, axis=-1) + 1)
    with pytest.raises(TraceError, match="repeats cannot be a symbolic tensor"):
        trace(lambda x: K.tile(x, K.cast(x[0], "int32")), x)


def test_arrays_alone_may_have_symbolic_sizes() -> None:
    (token,) = run_traced(lambda x: K.broadcast_to(np.ones((1, 3), "float32"), (K.shape(x)[0], 3)), floats(5, 2))
    assert_same(token, np.ones((5, 3), "float32"))


def test_sixty_four_bits() -> None:
    double = X.astype("float64")
    assert run_traced(lambda x: x * np.sqrt(2), X)[0].dtype == np.float32
    assert run_traced(lambda x: x + np.arange(4.0), X)[0].dtype == np.float32
    assert run_traced(lambda x: x + 1.5, double)[0].dtype == np.float64
    assert run_traced(lambda x: x + 1, WIDE)[0].dtype == np.int64
    assert run_traced(lambda x: x + 0.5, WIDE)[0].dtype == np.float32


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_of_fewer_heads_is_that_of_repeated_ones(heads: int) -> None:
    keys, values = KEYS[:, :, :heads], VALUES[:, :, :heads]
    repeated = [np.repeat(x, 6 // heads, axis=2) for x in (keys, values)]
    expected = ops.dot_product_attention(QUERY, *repeated, mask=KEPT)
    (actual,) = run_traced(lambda q, k, v: K.dot_product_attention(q, k, v, mask=KEPT), QUERY, keys, values)
    assert_same(actual, expected)
    assert_same(K.dot_product_attention(QUERY, keys, values, mask=KEPT), expected)


def test_common_functions_take_few_nodes() -> None:
    def count(function: Callable[[Any], Any]) -> int:
        return sum(type(node.op).__name__ not in ("Input", "Output", "Constant") for node in trace(function, X).order())

    assert count(lambda x: K.l2_normalize(x, axis=1)) == 3
    assert count(lambda x: K.relu(x, max_value=3)) == 1
    assert count(lambda x: x**2) == 1
    assert count(lambda x: K.dot(x, M[0])) == 1
    assert count(lambda x: x[:, 1:, ::2]) == 1
    assert count(lambda x: K.normalize(x)) == 3


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: K.argmax(x), TraceError, "axis"),
        (lambda x: K.concatenate([x, x]), TraceError, "axis"),
        (lambda x: K.repeat(x, 2), TraceError, "axis"),
        (lambda x: K.sum(x, axis=3), ShapeError, "axis=3"),
        (lambda x: K.reshape(x, (5, -1)), ShapeError, "reshape"),
        (lambda x: K.squeeze(x, 0), ShapeError, "size of 1"),
        (lambda x: K.split(x, 3, axis=2), ShapeError, "3 equal parts"),
        (lambda x: x[x > 0], TraceError, "K.where"),
        (lambda x: x[:, [0], [1]], TraceError, "K.take"),
        (lambda x: x[0, :, [1]], TraceError, "two steps"),
        (lambda x: x[0, 0, 0, 0], ShapeError, "rank 3"),
        (lambda x: K.where(x > 0), TraceError, "shape that depends on the data"),
        (lambda x: np.linalg.inv(x), TraceError, "np.inv"),
        (lambda x: np.exp(x, where=x > 0), TraceError, "where"),
        (lambda x: np.sum(x, dtype="int32"), TraceError, "dtype"),
        (lambda x: np.add.reduce(x), TraceError, "np.add.reduce"),
        (lambda x: K.pad(x, 1, mode="wrap"), TraceError, "wrap"),
        (lambda x: K.norm(x, ord="nuc", axis=(1, 2)), TraceError, "fro"),
        (lambda x: K.batch_dot(x, x, 0), InvalidArgumentError, "batch axis"),
        (lambda x: K.reshape(x, x), TraceError, "x.shape"),
        (lambda x: K.take(x, x), TraceError, "integers"),
        (lambda x: K.cast(x, "float31"), InvalidArgumentError, "float31"),
        (lambda x: (x > 0) - (x > 1), TraceError, "logical_xor"),
        (lambda x: x + object(), TraceError, "object"),
        (lambda x: K.map_fn(abs, x), TraceError, "whole tensors"),
        (lambda x: K.argmx(x), TraceError, "argmax"),
    ],
)
def test_refusals_say_what_to_do(function: Callable[[Any], Any], error: type[KirError], words: str) -> None:
    with pytest.raises(error) as raised:
        trace(function, X)
    assert words in str(raised.value)


def test_functional_tensors_are_recorded_as_layers() -> None:
    from kir import Input as FunctionalInput
    from kir import Model

    x = FunctionalInput(shape=(3, 4))
    y: Any = K.concatenate([K.relu(x), np.tanh(x) * 2], axis=-1)
    assert y.shape == (None, 3, 8)
    expected = np.concatenate([np.maximum(X, 0), np.tanh(X) * 2], axis=-1)
    np.testing.assert_allclose(Model(x, y).predict(X), expected, rtol=1e-6)


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(K, "no_such_function")
    with pytest.raises(AttributeError, match="did you mean"):
        K.concatenat  # noqa: B018


def test_a_size_outside_a_trace_is_refused() -> None:
    with pytest.raises(TraceError, match="outside of any traced function"):
        K.arange(BATCH)
