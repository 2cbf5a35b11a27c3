"""The elementwise operators: formulas against independent references, edges, precision, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from kir.errors import ShapeError
from kir.ir.op import Op
from kir.ir.types import DType, as_dtype, parse_type, type_of
from kir.ops import elementwise, ops_of
from kir.ops.elementwise import (
    ACTIVATIONS,
    BINARY,
    COMMUTATIVE,
    COMPARISONS,
    ELEMENTWISE,
    UNARY,
    Abs,
    Acos,
    Acosh,
    Add,
    And,
    Asin,
    Asinh,
    Atan,
    Atanh,
    BitwiseXor,
    Cast,
    Ceil,
    Celu,
    Clip,
    Cos,
    Cosh,
    Div,
    Elu,
    Erf,
    Exp,
    Floor,
    Gelu,
    HardSigmoid,
    HardSwish,
    IsInf,
    IsNaN,
    LeakyRelu,
    Less,
    Log,
    Maximum,
    Minimum,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Round,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Sub,
    Tan,
    Tanh,
    ThresholdedRelu,
    Where,
    Xor,
)
from kir.ops.error_function import erf
from tests.ops.cases_elementwise import COMPARING, ELEMENTWISE_CASES, EVERYWHERE, WITHIN

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.filterwarnings("error")

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 1e30, -1e30, 0.5, 1.5, 2.5, -0.5, -1.5, 20, -20, 100, -100]
)


def mish(x: float) -> float:
    return x * math.tanh(math.log1p(math.exp(x)))


# For each operator the function on one Python float, written independently of NumPy.
REFERENCES: list[tuple[Op, Callable[[float], float]]] = [
    (Abs(), abs),
    (Neg(), lambda x: -x),
    (Sign(), lambda x: math.copysign(1, x) if x else 0.0),
    (Sqrt(), math.sqrt),
    (Exp(), math.exp),
    (Log(), math.log),
    (Sin(), math.sin),
    (Cos(), math.cos),
    (Tan(), math.tan),
    (Asin(), math.asin),
    (Acos(), math.acos),
    (Atan(), math.atan),
    (Sinh(), math.sinh),
    (Cosh(), math.cosh),
    (Asinh(), math.asinh),
    (Acosh(), math.acosh),
    (Atanh(), math.atanh),
    (Erf(), math.erf),
    (Floor(), math.floor),
    (Ceil(), math.ceil),
    (Round(), round),
    (Reciprocal(), lambda x: 1 / x),
    (Tanh(), math.tanh),
    (Sigmoid(), lambda x: float(scipy.special.expit(x))),
    (Relu(), lambda x: x if x > 0 else 0.0),
    (Selu(), lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x))),
    (Softplus(), lambda x: math.log1p(math.exp(x))),
    (Softsign(), lambda x: x / (1 + abs(x))),
    (HardSwish(), lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
    (Mish(), mish),
    (LeakyRelu(0.2), lambda x: x if x > 0 else 0.2 * x),
    (Elu(1.5), lambda x: x if x > 0 else 1.5 * math.expm1(x)),
    (Celu(0.7), lambda x: x if x > 0 else 0.7 * math.expm1(x / 0.7)),
    (ThresholdedRelu(0.5), lambda x: x if x > 0.5 else 0.0),
    (HardSigmoid(0.25, 0.4), lambda x: min(max(0.25 * x + 0.4, 0), 1)),
    (Gelu(False), lambda x: x * float(scipy.special.ndtr(x))),
    (Gelu(True), lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (Shrink(0.3, 0.5), lambda x: x + 0.3 if x < -0.5 else x - 0.3 if x > 0.5 else 0.0),
]

RANGES = {op: (low, high) for op, low, high in WITHIN}


@pytest.mark.parametrize(("op", "reference"), REFERENCES, ids=lambda given: str(given) if isinstance(given, Op) else "")
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 4e-16 * 4), ("float32", 6e-8 * 8)])
def test_float_functions_follow_their_formula(
    op: Op, reference: Callable[[float], float], dtype: str, allowed: float
) -> None:
    low, high = RANGES.get(op, (-4.0, 4.0))
    x = np.linspace(low + 1e-3, high, 97).astype(dtype)
    expected = [reference(float(value)) for value in x]
    result = op.eval(x)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(result, expected, rtol=allowed, atol=allowed)


def test_every_float_function_has_a_reference() -> None:
    checked = {type(op) for op, _ in REFERENCES}
    assert checked == UNARY - {Not, IsNaN, IsInf, Cast}
    assert checked >= {type(op) for op in EVERYWHERE}


@given(st.floats(-30, 30))
def test_sigmoid_is_relatively_accurate_in_both_tails(x: float) -> None:
    result = float(Sigmoid().eval(np.array(x)))
    assert result == pytest.approx(float(scipy.special.expit(x)), rel=5e-16, abs=0)
    single = float(Sigmoid().eval(np.array(x, np.float32)))
    assert single == pytest.approx(float(scipy.special.expit(np.float64(np.float32(x)))), rel=3e-7, abs=0)


@given(st.floats(allow_nan=False))
def test_erf_has_full_precision(x: float) -> None:
    result = float(erf(np.array(x)))
    assert result == pytest.approx(math.erf(x), rel=1e-15, abs=0)
    assert math.copysign(1, result) == math.copysign(1, x)


def test_erf_has_full_precision_in_all_its_ranges() -> None:
    edges = np.array([0.46875, 4.0, 6.0])
    x = np.concatenate([np.linspace(-8, 8, 20_001), edges, np.nextafter(edges, 0), np.nextafter(edges, 9), -edges])
    expected = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(erf(x), expected, rtol=1e-15, atol=0)


def test_erf_of_nan_and_infinities() -> None:
    result = erf(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32))
    np.testing.assert_array_equal(result, [np.nan, 1, -1, 0])
    assert np.signbit(result[3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_and_sigmoid_do_not_overflow(dtype: str) -> None:
    x = np.array([-1e30, -1000, 0, 1000, 1e30], dtype)
    np.testing.assert_array_equal(Sigmoid().eval(x), np.array([0, 0, 0.5, 1, 1], dtype))
    np.testing.assert_allclose(Softplus().eval(x), np.array([0, 0, math.log(2), 1000, 1e30], dtype), rtol=1e-7)


# Precision


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("op", [op for op, _ in REFERENCES], ids=str)
def test_half_precision_is_computed_in_float32_and_rounded_once(op: Op, dtype: Any) -> None:
    low, high = RANGES.get(op, (-4.0, 4.0))
    x = np.linspace(low, high, 33).astype(dtype)
    result = op.eval(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, op.eval(x.astype(np.float32)).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_of_several_inputs(dtype: Any) -> None:
    a, b = np.array([1, 2, 3], dtype), np.array([0.25, -1.5, 3], dtype)
    wide_a, wide_b = a.astype(np.float32), b.astype(np.float32)
    for op in (Add(), Sub(), Mul(), Div(), Maximum(), Minimum(), Mod(fmod=True), PRelu()):
        result = op.eval(a, b)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, op.eval(wide_a, wide_b).astype(dtype))
    for comparison in COMPARING:
        np.testing.assert_array_equal(comparison.eval(a, b), comparison.eval(wide_a, wide_b))
    assert Where().eval(a > b, a, b).dtype == dtype
    assert Clip().eval(a, np.array(1.5, dtype), None).dtype == dtype


def test_half_precision_overflows_to_infinity() -> None:
    result = Exp().eval(np.array([20, -30], np.float16))
    np.testing.assert_array_equal(result, np.array([np.inf, 0], np.float16))


# Integers


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_integer_division_truncates(dtype: str) -> None:
    a, b = np.meshgrid(np.arange(-7, 8), [-3, -2, -1, 1, 2, 3])
    expected = [int(x / y) for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    result = Div().eval(a.ravel().astype(dtype), b.ravel().astype(dtype))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def test_integer_division_is_exact_beyond_the_precision_of_floats() -> None:
    a, b = np.array([2**62 + 1, -(2**62) - 1]), np.array([3, 3])
    np.testing.assert_array_equal(Div().eval(a, b), [(2**62 + 1) // 3, -((2**62 + 1) // 3)])


def test_unsigned_division() -> None:
    np.testing.assert_array_equal(Div().eval(np.array([200, 7], np.uint8), np.array([3, 8], np.uint8)), [66, 0])


def test_mod_takes_the_sign_of_the_divisor_and_fmod_of_the_dividend() -> None:
    a, b = np.array([7, 7, -7, -7]), np.array([3, -3, 3, -3])
    np.testing.assert_array_equal(Mod(fmod=False).eval(a, b), [1, -2, 2, -1])
    np.testing.assert_array_equal(Mod(fmod=True).eval(a, b), [1, 1, -1, -1])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_to_negative_powers_truncate(dtype: str) -> None:
    a = np.array([2, 2, -2, 1, -1, -1, 3, 0], dtype)
    b = np.array([3, -1, -1, -5, -5, -4, -2, 0], dtype)
    result = Pow().eval(a, b)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [8, 0, 0, 1, -1, 1, 0, 1])


def test_integers_wrap_around() -> None:
    np.testing.assert_array_equal(Add().eval(np.array([127], np.int8), np.array([1], np.int8)), [-128])
    np.testing.assert_array_equal(Abs().eval(np.array([-128], np.int8)), [-128])


# Edges


def test_round_goes_to_the_even_neighbour() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32)
    np.testing.assert_array_equal(Round().eval(x), [0, 2, 2, -0.0, -2, -2])


def test_negative_zero_survives() -> None:
    zero = np.array(-0.0, np.float32)
    for op in (Round(), Floor(), Ceil(), Sqrt(), Sin(), Tanh(), Erf(), Softsign(), LeakyRelu(0.1)):
        assert np.signbit(op.eval(zero)), op


def test_maximum_and_minimum_pass_on_nan() -> None:
    a, b = np.array([np.nan, 1, np.nan, 2], np.float32), np.array([1, np.nan, np.nan, 3], np.float32)
    np.testing.assert_array_equal(Maximum().eval(a, b), [np.nan, np.nan, np.nan, 3])
    np.testing.assert_array_equal(Minimum().eval(a, b), [np.nan, np.nan, np.nan, 2])


def test_comparisons_of_nan_are_false() -> None:
    nan = np.array(np.nan, np.float32)
    assert not any(comparison.eval(nan, nan) for comparison in COMPARING)


def test_clip_bounds() -> None:
    x = np.array([-np.inf, -1, 0, 1, np.inf, np.nan], np.float32)
    zero, half = np.array(0, np.float32), np.array(0.5, np.float32)
    np.testing.assert_array_equal(Clip().eval(x, zero, half), [0, 0, 0, 0.5, 0.5, np.nan])
    np.testing.assert_array_equal(Clip().eval(x, half, zero), [0, 0, 0, 0, 0, np.nan])  # the maximum holds
    np.testing.assert_array_equal(Clip().eval(x, zero), [0, 0, 0, 1, np.inf, np.nan])
    np.testing.assert_array_equal(Clip().eval(x), x)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (np.array([1.9, -1.9, 0.5], np.float32), "int32", [1, -1, 0]),
        (np.array([0.0, -0.0, 0.1, np.nan], np.float32), "bool", [False, False, True, True]),
        (np.array([300, -1]), "uint8", [44, 255]),
        (np.array([True, False]), "float16", [1, 0]),
        (np.array([1e30, 1.0]), "float16", [np.inf, 1]),
        (np.array([1 + 2**-8, 3.0], np.float32), "bfloat16", [1, 3]),
    ],
    ids=lambda given: str(getattr(given, "dtype", given)),
)
def test_cast(source: Array, target: str, expected: list[Any]) -> None:
    result = Cast(as_dtype(target)).eval(source)
    assert result.dtype == as_dtype(target).numpy
    np.testing.assert_array_equal(result.astype(np.float64), expected)


def run_onnx(operator: str, arrays: list[Array], **attributes: Any) -> Array:
    """One standard operator in onnxruntime, apart from kir's exporter."""
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
    names = [f"x{index}" for index in range(len(arrays))]
    inputs = [helper.make_tensor_value_info(n, k, a.shape) for n, k, a in zip(names, kinds, arrays, strict=True)]
    output = helper.make_tensor_value_info("y", attributes.pop("output", kinds[0]), None)
    graph = helper.make_graph([helper.make_node(operator, names, ["y"], **attributes)], "one", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, dict(zip(names, arrays, strict=True)))[0]
    return result


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        *[(op, {}) for op in (Abs(), Neg(), Sign(), Sqrt(), Exp(), Log(), Floor(), Ceil(), Round(), Reciprocal())],
        *[(op, {}) for op in (Atan(), Sinh(), Cosh(), Asinh(), Acosh(), Atanh(), Erf(), Tanh(), Sigmoid(), Relu())],
        *[(op, {}) for op in (Selu(), Softplus(), Softsign(), HardSwish(), Mish())],
        (LeakyRelu(0.2), {"alpha": 0.2}),
        (Elu(1.5), {"alpha": 1.5}),
        (Celu(0.5), {"alpha": 0.5}),
        (ThresholdedRelu(0.5), {"alpha": 0.5}),
        (HardSigmoid(0.25, 0.5), {"alpha": 0.25, "beta": 0.5}),
        (Gelu(False), {}),
        (Gelu(True), {"approximate": "tanh"}),
        (Shrink(0.25, 0.5), {"bias": 0.25, "lambd": 0.5}),
    ],
    ids=lambda given: str(given) if isinstance(given, Op) else "",
)
def test_edges_agree_with_onnxruntime(op: Op, attributes: dict[str, Any]) -> None:
    x = SPECIAL.astype(np.float32)
    np.testing.assert_allclose(op.eval(x), run_onnx(op.name, [x], **attributes), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize(
    ("op", "operator"),
    [(Add(), "Add"), (Div(), "Div"), (Pow(), "Pow"), (Maximum(), "Max"), (Minimum(), "Min"), (Mod(fmod=True), "Mod")],
    ids=str,
)
def test_edges_of_pairs_agree_with_onnxruntime(op: Op, operator: str) -> None:
    a, b = (side.ravel() for side in np.meshgrid(SPECIAL.astype(np.float32), SPECIAL.astype(np.float32)))
    attributes = {"fmod": 1} if operator == "Mod" else {}
    np.testing.assert_allclose(op.eval(a, b), run_onnx(operator, [a, b], **attributes), rtol=1e-6)


@pytest.mark.parametrize("op", COMPARING, ids=str)
def test_comparisons_agree_with_onnxruntime(op: Op) -> None:
    a, b = (side.ravel() for side in np.meshgrid(SPECIAL.astype(np.float32), SPECIAL.astype(np.float32)))
    np.testing.assert_array_equal(op.eval(a, b), run_onnx(op.name, [a, b], output=TensorProto.BOOL))


def test_integer_arithmetic_agrees_with_onnxruntime() -> None:
    a, b = (side.ravel().astype(np.int32) for side in np.meshgrid(np.arange(-7, 8), [-3, -2, -1, 1, 2, 3]))
    np.testing.assert_array_equal(Div().eval(a, b), run_onnx("Div", [a, b]))
    np.testing.assert_array_equal(Mod(fmod=False).eval(a, b), run_onnx("Mod", [a, b], fmod=0))
    np.testing.assert_array_equal(Mod(fmod=True).eval(a, b), run_onnx("Mod", [a, b], fmod=1))
    whole = a != 0
    np.testing.assert_array_equal(Pow().eval(a[whole], b[whole]), run_onnx("Pow", [a[whole], b[whole]]))


# What is refused


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (Sqrt(), ["i64[2]"], r"Sqrt received x of type i64\[2\]; expected a dtype of f16, bf16, f32, f64: cast"),
        (Neg(), ["u8[2]"], r"u8\[2\]; expected a dtype of i8,"),
        (Not(), ["f32[2]"], r"expected a dtype of bool"),
        (IsNaN(), ["i32[2]"], r"IsNaN received x of type i32\[2\]"),
        (Elu(1.0), ["bool[2]"], r"Elu\(alpha=1.0\) received x of type bool\[2\]"),
        (Cast(DType.STRING), ["f32[2]"], r"Cast\(dtype=str\).*expected a number or bool"),
        (Cast(DType.FLOAT32), ["str[2]"], r"x of type str\[2\]"),
        (Add(), ["f32[2]", "f64[2]"], r"Add received a of type f32\[2\], b of type f64\[2\]; expected one dtype"),
        (Add(), ["bool[2]", "bool[2]"], r"a of type bool\[2\]"),
        (Add(), ["f32[2]", "f32[3]"], r"shapes \(2,\), \(3,\) do not fit"),
        (Add(), ["f32[2*a]", "f32[b]"], r"cannot decide whether the sizes 2\*a and b"),
        (Pow(), ["i8[2]", "i8[2]"], r"Pow received a of type i8\[2\]"),
        (And(), ["f32[2]", "f32[2]"], r"expected a dtype of bool"),
        (Xor(), ["bool[2]", "f32[2]"], r"expected one dtype"),
        (Less(), ["bool[2]", "bool[2]"], r"Less received a of type bool"),
        (
            Mod(fmod=False),
            ["f32[2]", "f32[2]"],
            r"Mod\(fmod=False\) received a of type f32\[2\]; expected a dtype of i8",
        ),
        (PRelu(), ["f32[2, 3]", "f32[2]"], r"shapes \(2, 3\), \(2,\) do not fit"),
        (PRelu(), ["f32[3]", "f32[2, 3]"], r"x of shape \(3,\) and slope of shape \(2, 3\)"),
        (PRelu(), ["f32[3]", "f64[3]"], r"expected one dtype"),
        (Where(), ["f32[3]", "f32[3]", "f32[3]"], r"condition of type f32\[3\]"),
        (Where(), ["bool[3]", "f32[3]", "i64[3]"], r"a of type f32\[3\], b of type i64\[3\]"),
        (Clip(), ["f32[3]", "f32[1]"], r"minimum of type f32\[1\]; expected a scalar f32\[\]"),
        (Clip(), ["f32[3]", "f32[]", "f64[]"], r"maximum of type f64\[\]"),
        (Clip(), ["bool[3]"], r"x of type bool\[3\]"),
    ],
    ids=lambda given: str(given) if isinstance(given, Op | list) else "",
)
def test_inputs_that_do_not_fit_are_refused(op: Op, types: list[str], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(*[parse_type(text) for text in types])


# The named sets


def test_commutative_operators_commute() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=50).astype(np.float32), random.normal(size=50).astype(np.float32)
    for cls in BINARY - {Mod}:
        left: Any
        right: Any
        left, right = (a > 0, b > 0) if issubclass(cls, elementwise._Logic) else (a, b)
        if cls is BitwiseXor:
            left, right = a.view(np.int32), b.view(np.int32)
        commutes = np.array_equal(cls().eval(left, right), cls().eval(right, left), equal_nan=True)
        assert commutes == (cls in COMMUTATIVE), cls


def test_activations_keep_float_types() -> None:
    activations = [op for op, _ in REFERENCES if type(op) in ACTIVATIONS]
    assert {type(op) for op in activations} == ACTIVATIONS
    for op in activations:
        for dtype in ("f16", "bf16", "f32", "f64"):
            given = parse_type(f"{dtype}[batch, 3]")
            assert op.infer(given) == given


def test_comparisons_give_booleans() -> None:
    assert {type(op) for op in COMPARING} == COMPARISONS
    for cls in COMPARISONS:
        assert cls().infer(parse_type("f32[n]"), parse_type("f32[1]")) == parse_type("bool[n]")


def test_the_sets_hold_every_operator_of_the_module() -> None:
    assert ops_of(elementwise) == ELEMENTWISE
    assert UNARY | BINARY | {PRelu, Where, Clip} == ELEMENTWISE
    assert {type(case.op) for case in ELEMENTWISE_CASES} == ELEMENTWISE


def test_equality_tells_operators_and_attributes_apart() -> None:
    ops: list[Op] = [Sqrt(), Exp(), Add(), Elu(1.0), Elu(2.0), Celu(1.0), Gelu(True), Gelu(False)]
    again: list[Op] = [Sqrt(), Exp(), Add(), Elu(1.0), Elu(2.0), Celu(1.0), Gelu(True), Gelu(False)]
    assert ops == again
    assert len({*ops, *again}) == len(ops)


def test_scalars_stay_arrays() -> None:
    for op, _ in REFERENCES:
        result = op.eval(np.array(0.75 if op != Acosh() else 1.5, np.float32))
        assert isinstance(result, np.ndarray), op
        assert type_of(result) == parse_type("f32[]")


def test_every_range_is_used() -> None:
    assert {type(op) for op in RANGES} == {Sqrt, Log, Tan, Asin, Acos, Acosh, Atanh, Reciprocal}
