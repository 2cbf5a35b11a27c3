"""Dense, MatMul and Einsum: what the table of cases does not show."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.op import Op, field_names
from kir.ir.types import TensorType, parse_type, type_of
from kir.ops.elementwise import ACTIVATIONS, Elu, Exp, HardSigmoid, Neg, Relu, Tanh
from kir.ops.linear import Dense, Einsum, MatMul
from kir.ops.nn import LogSoftmax, Softmax

FLOAT_DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(dtype)


def types(*texts: str) -> list[TensorType]:
    return [parse_type(text) for text in texts]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("activation", [Relu(), Tanh(), Elu(0.5), HardSigmoid(0.2, 0.5), Exp(), Softmax(1)], ids=str)
def test_fusing_an_activation_is_exact(dtype: Any, activation: Op) -> None:
    inputs = [draw(3, 4, dtype=dtype), draw(4, 5, dtype=dtype), draw(5, dtype=dtype)]
    fused = Dense(activation).eval(*inputs)
    assert fused.dtype == dtype
    np.testing.assert_array_equal(fused, activation.eval(Dense().eval(*inputs)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (Dense(), ((3, 400), (400, 5), (5,))),
        (MatMul(), ((3, 400), (400, 5))),
        (Einsum("ij,jk->ik"), ((3, 400), (400, 5))),
    ],
    ids=str,
)
def test_floats_of_16_bits_are_rounded_once(dtype: Any, op: Op, shapes: tuple[tuple[int, ...], ...]) -> None:
    inputs = [draw(*shape, dtype=dtype) for shape in shapes]
    single = op.eval(*(array.astype(np.float32) for array in inputs))
    np.testing.assert_array_equal(op.eval(*inputs), single.astype(dtype))


def test_dense_over_no_features_is_the_bias() -> None:
    result = Dense().eval(draw(2, 3, 0), draw(0, 2), np.array([1, 2], np.float32))
    np.testing.assert_array_equal(result, np.tile(np.array([1, 2], np.float32), (2, 3, 1)))


def test_dense_of_no_rows_has_no_rows() -> None:
    assert Dense(Relu()).eval(draw(0, 3), draw(3, 2)).shape == (0, 2)


def test_an_unknown_number_of_features_is_that_of_the_kernel() -> None:
    assert str(Dense().infer(*types("f32[batch, n]", "f32[3, units]", "f32[4]"))) == "f32[batch, 4]"


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS, key=str))
def test_dense_takes_every_activation(activation: Any) -> None:
    fields = {name: False if name == "approximate" else 0.5 for name in field_names(activation)}
    result = Dense(activation(**fields)).infer(*types("f32[batch, 3]", "f32[3, 4]"))
    assert str(result) == "f32[batch, 4]"


@pytest.mark.parametrize(
    ("activation", "inputs", "message"),
    [
        (None, ("f32[3]", "f32[3, 4]"), r"received x f32\[3\], kernel f32\[3, 4\]; expected x\[..., in\]"),
        (None, ("f32[2, 3]", "f32[3]"), "expected x"),
        (None, ("f32[2, 3]", "f32[3, 4]", "f32[1, 4]"), r"bias f32\[1, 4\]; expected"),
        (None, ("f32[2, 3]", "f32[4, 4]"), "features: sizes 3 and 4 differ"),
        (None, ("f32[2, 3]", "f32[3, 4]", "f32[3]"), "units: sizes 4 and 3 differ"),
        (None, ("f32[2, 2*a]", "f32[b, 4]"), r"sizes 2\*a and b fit; .*--input-shapes"),
        (None, ("f32[2, 3]", "f64[3, 4]"), "expected one dtype"),
        (None, ("i32[2, 3]", "i32[3, 4]"), "received x of type i32"),
        (Neg(), ("f32[2, 3]", "f32[3, 4]"), "cannot fuse the activation Neg; expected one of .*Relu.*Softmax"),
        (Softmax(0), ("f32[2, 3]", "f32[3, 4]"), r"cannot fuse Softmax\(axis=0\) .*; expected axis=1"),
        (LogSoftmax(1), ("f32[2, 2, 3]", "f32[3, 4]"), "expected axis=2"),
    ],
)
def test_dense_refuses(activation: Op | None, inputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Dense(activation).infer(*types(*inputs))


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("f32[batch, n]", "f32[n, 4]", "f32[batch, 4]"),
        ("f32[batch, n]", "f32[3, 4]", "f32[batch, 4]"),
        ("f32[batch, 1, 2, 3]", "f32[heads, 3, k]", "f32[batch, heads, 2, k]"),
        ("f32[3]", "f32[batch, 3, 4]", "f32[batch, 4]"),
        ("f32[batch, 2, 3]", "f32[3]", "f32[batch, 2]"),
    ],
)
def test_matmul_infers(a: str, b: str, result: str) -> None:
    assert str(MatMul().infer(parse_type(a), parse_type(b))) == result


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("f32[]", "f32[3]", "expected ranks of 1 or more"),
        ("f32[2, 3]", "f32[2, 3]", "contracted axis: sizes 3 and 2 differ"),
        ("f32[2, 1]", "f32[3, 2]", "contracted axis: sizes 1 and 3 differ"),
        ("f32[2, 2, 3]", "f32[5, 3, 1]", "do not fit"),
        ("f32[2, 3]", "f16[3, 4]", "expected one dtype"),
        ("i8[2, 3]", "i8[3, 4]", "received a of type i8"),
    ],
)
def test_matmul_refuses(a: str, b: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        MatMul().infer(parse_type(a), parse_type(b))


@pytest.mark.parametrize(
    "equation",
    ["ij,jk->ik", "ij,jk", "bi,bj", " i j , j k -> k i ", "...ij,...j->...i", "ij...,kj->...ki", "ii", "i->i", ",->"],
)
def test_einsum_agrees_with_numpy(equation: str) -> None:
    terms = "".join(equation.partition("->")[0].split()).split(",")
    sizes = {"i": 2, "j": 3, "k": 4, "b": 5}
    arrays = [
        draw(*(sizes[letter] for letter in term.replace("...", "b"))) if term else np.array(2, np.float32)
        for term in terms
    ]
    result = Einsum(equation).eval(*arrays)
    np.testing.assert_allclose(result, np.einsum(equation, *arrays), rtol=1e-5, atol=1e-6)
    assert Einsum(equation).infer(*map(type_of, arrays)) == type_of(result)


@pytest.mark.parametrize(
    ("equation", "inputs", "message"),
    [
        ("ij,jk->ik", ("f32[2, 3]",), "received 1 operands; expected 2"),
        ("ij,jk->ik", ("f32[2, 3]", "f32[3]"), "for the term 'jk'; the ranks differ"),
        ("i->i", ("f32[2, 3]",), "the ranks differ"),
        ("ij,jk->ik", ("f32[2, 3]", "f32[4, 5]"), "axis 'j': sizes 3 and 4 differ"),
        ("ij,jk->ik", ("f32[2, 3]", "f32[1, 5]"), "axis 'j': sizes 3 and 1 differ"),
        ("ij,jk->ik", ("f32[2, 3]", "f64[3, 5]"), "expected one dtype"),
        ("i->i", ("bool[2]",), "received operand 0 of type bool"),
        ("i1->i", ("f32[2, 1]",), "cannot read the equation 'i1->i'"),
        ("i*->i", ("f32[2, 1]",), "cannot read the equation"),
        ("i->i->i", ("f32[2]",), "cannot read the equation"),
        ("......i->i", ("f32[2]",), "cannot read the equation"),
        ("i,j->i,j", ("f32[2]", "f32[2]"), "cannot read the equation"),
        ("i->ii", ("f32[2]",), "does not fit; expected each letter once"),
        ("i->k", ("f32[2]",), "does not fit"),
        ("...i->i", ("f32[2, 2]",), "does not fit"),
    ],
)
def test_einsum_refuses(equation: str, inputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Einsum(equation).infer(*types(*inputs))
