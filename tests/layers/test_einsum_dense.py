"""EinsumDense against real Keras."""

from __future__ import annotations

from typing import Any

import pytest

from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import EinsumDense, Input
from tests.oracle import check_layer, node_types

# An input shape, the equation, output_shape, further arguments, the nodes.
CASES: list[tuple[tuple[Any, ...], str, Any, dict[str, Any], list[str]]] = [
    ((4,), "ab,bc->ac", 3, {}, ["Gemm"]),
    ((4,), "ab,bc->ac", (3,), {"bias_axes": "c", "activation": "relu"}, ["Gemm", "Relu"]),
    ((5, 4), "abc,cd->abd", (5, 3), {"bias_axes": "d"}, ["MatMul", "Add"]),
    ((None, 4), "abc,cd->abd", (None, 3), {}, ["MatMul"]),
    ((None, 4), "...x,xy->...y", 3, {"bias_axes": "y"}, ["MatMul", "Add"]),
    # Equal sizes: Keras's own shape inference turns the axes under an ellipsis around, though not its numbers.
    ((5, 5, 4), "...x,xy->...y", 3, {"bias_axes": "y", "activation": "softmax"}, ["MatMul", "Add", "Softmax"]),
    ((5, 4), "abc,cde->abde", (5, 2, 3), {"bias_axes": "de"}, ["MatMul", "Add", "Reshape"]),
    ((None, 4), "abc,cde->abde", (None, 2, 3), {"bias_axes": "e"}, ["MatMul", "Add", "Reshape"]),
    ((5, 4), "abc,cde->abde", (5, 2, 3), {"bias_axes": "d"}, ["MatMul", "Add", "Reshape"]),
    ((5, 2, 3), "abde,dec->abc", (5, 4), {"bias_axes": "c"}, ["Reshape", "MatMul", "Add"]),
    ((None, 2, 3), "abde,edc->abc", (None, 4), {}, ["Reshape", "MatMul"]),
    ((5, 4), "abc,cd->adb", (3, 5), {"bias_axes": "d"}, ["MatMul", "Add", "Transpose"]),
    ((4, None), "acb,cd->abd", (None, 3), {"bias_axes": "d"}, ["Transpose", "MatMul", "Add"]),
    ((5, 4), "abc,dc->abd", (5, 3), {"bias_axes": "bd"}, ["MatMul", "Add"]),
    ((4, 5), "ab...,bc->ac...", 3, {"bias_axes": "c"}, ["Transpose", "MatMul", "Add", "Transpose"]),
    ((4, 5, None), "ab...,bc->ac...", 3, {}, ["Transpose", "MatMul", "Transpose"]),
    ((5, 4), "abc,bcd->abd", (5, 3), {"bias_axes": "bd"}, ["Einsum", "Add"]),
    ((5, 4), "abc,c->abc", (5, 4), {}, ["Einsum"]),
    ((5, 4), "abc,cd->ad", 3, {"bias_axes": "d"}, ["Einsum", "Add"]),
    ((4,), "ab,c->abc", (4, 3), {}, ["Einsum"]),
    (
        (4,),
        "ab,bc->ac",
        3,
        {
            "bias_axes": "c",
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "non_neg",
            "bias_constraint": "max_norm",
        },
        ["Gemm"],
    ),
]
# What such products become where a convolution leaves no Transpose. onnxruntime has none of float64.
CONVOLUTIONS = {
    ("ab...,bc->ac...", "Transpose", "MatMul", "Add", "Transpose"): ["Conv"],
    ("ab...,bc->ac...", "Transpose", "MatMul", "Transpose"): ["Conv"],
}
DTYPES = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-6}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "equation", "output_shape", "options", "nodes"), CASES)
def test_like_keras(
    shape: tuple[Any, ...], equation: str, output_shape: Any, options: dict[str, Any], nodes: list[str], dtype: str
) -> None:
    given = {"equation": equation, "output_shape": output_shape, "dtype": dtype, **options}
    proto = check_layer("EinsumDense", (shape, dtype), atol=DTYPES[dtype], rtol=DTYPES[dtype], **given)
    expected = nodes if dtype == "float64" else CONVOLUTIONS.get((equation, *nodes), nodes)
    assert [name for name in node_types(proto) if name not in ("Shape", "Concat")] == expected


def test_initializers_know_which_axes_are_inputs() -> None:
    layer = EinsumDense("abc,cde->abde", (None, 20, 30), kernel_initializer="lecun_normal")
    layer(Input((5, 400)))
    # By its shape alone (400, 20, 30) would be a convolution's, of 8000 inputs.
    assert layer.kernel.array.std() == pytest.approx(400**-0.5, rel=0.05)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"equation": "ab,bc", "output_shape": 3}, "equation='ab,bc'"),
        ({"equation": "ab,bc,cd->ad", "output_shape": 3}, "ab,bc,cd->ad"),
        ({"equation": "a...b,bc->ac", "output_shape": 3}, "a...b,bc->ac"),
        ({"equation": "...ab,bc->ac...", "output_shape": 3}, "...ab,bc->ac..."),
        ({"equation": "ab,bz->ac", "output_shape": 3}, "ab,bz->ac"),
        ({"equation": 3, "output_shape": 3}, "equation=3"),
        ({"equation": "ab,bc->ac", "output_shape": 0}, "output_shape=0"),
        ({"equation": "ab,bc->ac", "output_shape": "x"}, "output_shape='x'"),
        ({"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "d"}, "bias_axes='d'"),
        ({"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": ""}, "bias_axes=''"),
        ({"equation": "ab,bc->ac", "output_shape": 3, "activation": "rellu"}, "rellu"),
    ],
)
def test_bad_arguments_are_repeated(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        EinsumDense(**options)
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "message"),
    [
        ("abc,cd->abd", (None, 3), (4,), "rank 2; the ranks differ"),
        ("ab,bc->ac", 3, (5, 4), "rank 3; the ranks differ"),
        ("abc,cd->abd", 3, (5, 4), "expected 2 sizes"),
        ("abc,cd->abd", (6, 3), (5, 4), "axis 'b'.*6 and 5"),
        ("abc,cd->abd", (None, None), (5, 4), "'d' has no size.*output_shape"),
        ("ab,bc->ac", 3, (None,), "every size of a weight must be known"),
    ],
)
def test_shapes_that_do_not_fit(equation: str, output_shape: Any, shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        EinsumDense(equation, output_shape)(Input(shape))
