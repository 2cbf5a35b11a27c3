"""Convolutions: what the table of cases does not show."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kir.errors import ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Input, Output, constant
from kir.ir.types import TensorType, parse_type, type_of
from kir.ops import convolution
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.windows import Padding, Window


def draw(*shape: int, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(dtype)


def by_definition(op: Conv, x: Array, kernel: Array) -> Array:
    """Return the sum that the operator stands for, written as it is, one element at a time; padding in numbers."""
    rank = x.ndim - 2
    assert not isinstance(op.padding, str)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(op.padding[:rank], op.padding[rank:], strict=True)])
    result = np.zeros([size for size in op.infer(type_of(x), type_of(kernel)).shape if isinstance(size, int)])
    filters, channels = kernel.shape[0] // op.groups, kernel.shape[1]
    for n, m, *place in np.ndindex(*result.shape):
        for c, *element in np.ndindex(*kernel.shape[1:]):
            at = [p * s + e * d for p, s, e, d in zip(place, op.strides, element, op.dilations, strict=True)]
            source = padded[(n, m // filters * channels + c, *at)]
            result[(n, m, *place)] += source * kernel[(m, c, *element)]
    return result


@pytest.mark.parametrize(
    ("op", "x", "kernel"),
    [
        (Conv((1,), (1,), 1, (0, 0)), (2, 3, 7), (4, 3, 3)),
        (Conv((2,), (1,), 1, (1, 2)), (1, 3, 8), (4, 3, 3)),
        (Conv((1, 2), (2, 1), 1, (1, 0, 2, 1)), (2, 2, 6, 7), (3, 2, 3, 2)),
        (Conv((2, 2), (1, 1), 2, (1, 1, 1, 1)), (2, 4, 5, 6), (6, 2, 3, 3)),
        (Conv((2, 1), (1, 2), 4, (1, 1, 1, 1)), (2, 4, 5, 6), (8, 1, 3, 3)),
        (Conv((2, 3), (1, 1), 2, (0, 1, 0, 1)), (2, 4, 5, 6), (6, 2, 1, 1)),
        (Conv((1, 2, 1), (1, 1, 2), 1, (0, 1, 1, 0, 0, 1)), (1, 2, 4, 5, 6), (3, 2, 2, 3, 2)),
    ],
    ids=str,
)
def test_it_is_the_sum_that_it_stands_for(op: Conv, x: Any, kernel: Any) -> None:
    np.testing.assert_allclose(op.eval(draw(*x), draw(*kernel)), by_definition(op, draw(*x), draw(*kernel)), atol=1e-12)


def transposed_by_definition(op: ConvTranspose, x: Array, kernel: Array) -> Array:
    """Each element of x puts the kernel, one product at a time."""
    rank = x.ndim - 2
    result = np.zeros([size for size in op.infer(type_of(x), type_of(kernel)).shape if isinstance(size, int)])
    channels, units = x.shape[1] // op.groups, kernel.shape[1]
    for n, c, *place in np.ndindex(*x.shape):
        for m, *element in np.ndindex(*kernel.shape[1:]):
            at = [
                p * s + e * d - before
                for p, s, e, d, before in zip(place, op.strides, element, op.dilations, op.padding[:rank], strict=True)
            ]
            if all(0 <= i < size for i, size in zip(at, result.shape[2:], strict=True)):
                result[(n, c // channels * units + m, *at)] += x[(n, c, *place)] * kernel[(c, m, *element)]
    return result


@pytest.mark.parametrize(
    ("op", "x", "kernel"),
    [
        (ConvTranspose((1,), (1,), 1, (0, 0), (0,)), (2, 3, 5), (3, 4, 3)),
        (ConvTranspose((3,), (1,), 1, (1, 0), (2,)), (2, 3, 5), (3, 4, 2)),
        (ConvTranspose((2, 1), (1, 2), 2, (0, 1, 2, 0), (1, 0)), (2, 4, 3, 5), (4, 3, 3, 2)),
        (ConvTranspose((1, 2, 1), (1, 1, 1), 2, (0, 0, 1, 1, 0, 0), (0, 1, 0)), (1, 2, 3, 2, 4), (2, 2, 2, 3, 2)),
    ],
    ids=str,
)
def test_the_transposition_is_the_sum_that_it_stands_for(op: ConvTranspose, x: Any, kernel: Any) -> None:
    expected = transposed_by_definition(op, draw(*x), draw(*kernel))
    np.testing.assert_allclose(op.eval(draw(*x), draw(*kernel)), expected, atol=1e-12)


def test_the_transposition_is_the_transposed_matrix() -> None:
    """⟨Conv(x), y⟩ = ⟨x, ConvTranspose(y)⟩."""
    x, y, kernel = draw(1, 4, 9, 8), draw(1, 6, 5, 2), draw(6, 2, 3, 3)
    forward = Conv((2, 3), (1, 1), 2, (1, 0, 1, 0)).eval(x, kernel)
    back = ConvTranspose((2, 3), (1, 1), 2, (1, 0, 1, 0), (0, 0)).eval(y, kernel)
    rows, columns = back.shape[2:]
    np.testing.assert_allclose(np.vdot(forward, y), np.vdot(x[:, :, :rows, :columns], back))


@pytest.mark.parametrize("limit", [1, 100])
def test_how_much_is_spread_out_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    cases = [
        (Conv((1, 1), (1, 1), 2, (1, 1, 1, 1)), draw(2, 4, 9, 7), draw(6, 2, 3, 3)),
        (Conv((2, 1), (1, 1), 4, (1, 1, 1, 1)), draw(2, 4, 9, 7), draw(8, 1, 3, 3)),
    ]
    whole = [op.eval(*arrays) for op, *arrays in cases]
    monkeypatch.setattr(convolution, "COLUMN_ELEMENTS", limit)
    monkeypatch.setattr(convolution, "CACHED_ELEMENTS", limit)
    for (op, *arrays), expected in zip(cases, whole, strict=True):
        np.testing.assert_allclose(op.eval(*arrays), expected, atol=1e-12)


def test_arrays_need_not_be_contiguous() -> None:
    x, kernel = draw(2, 6, 7, 3), draw(3, 3, 3, 4)
    op = Conv((1, 1), (1, 1), 1, (0,) * 4)
    turned = x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(op.eval(*turned), op.eval(*map(np.ascontiguousarray, turned)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 0, 1), (1, 0, 2, 3)])
def test_large_kernels_may_lie_in_memory_in_any_way(groups: int, axes: tuple[int, ...]) -> None:
    op = Conv((1, 1), (1, 1), groups, (1,) * 4)
    x, kernel = draw(1, 192 * groups, 3, 2), draw(256, 192, 3, 3)
    lying = np.ascontiguousarray(kernel.transpose(np.argsort(axes))).transpose(axes)
    unaligned = np.frombuffer(b" " + kernel.tobytes(), np.uint8)[1:].view(kernel.dtype).reshape(kernel.shape)
    assert kernel.size > convolution.LARGE_KERNEL
    assert not unaligned.flags.aligned
    for other in (lying, unaligned):
        np.testing.assert_allclose(op.eval(x, other), op.eval(x, kernel), atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_floats_of_16_bits_are_rounded_once(dtype: Any, groups: int) -> None:
    arrays = [draw(2, 4, 9, dtype=dtype), draw(4, 4 // groups, 3, dtype=dtype), draw(4, dtype=dtype)]
    op = Conv((1,), (1,), groups, (1, 1))
    single = op.eval(*(array.astype(np.float32) for array in arrays))
    np.testing.assert_array_equal(op.eval(*arrays), single.astype(dtype))


def test_overflow_is_no_warning() -> None:
    big = np.full((1, 1, 3), 3e38, np.float32)
    assert np.isinf(Conv((1,), (1,), 1, (0, 0)).eval(big, big)).all()


def test_no_samples_give_none() -> None:
    assert Conv((1,), (1,), 1, (0, 0)).eval(draw(0, 3, 5), draw(4, 3, 2)).shape == (0, 4, 4)


@pytest.mark.parametrize(("size", "stride", "dilation"), [*itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2))])
def test_same_gives_a_window_for_each_stride(size: int, stride: int, dilation: int) -> None:
    window = Window(size, stride, dilation)
    for length in range(1, 12):
        before, after = window.same_padding(length)
        assert after - before in (0, 1)
        assert window.count(length, (before, after)) == window.count(length, None) == -(-length // stride)


def test_symbolic_sizes() -> None:
    x, kernel = parse_type("f32[batch, 3, h, w]"), parse_type("f32[4, 3, 3, 2]")
    padded = Conv((2, 1), (1, 1), 1, (1, 0, 1, 0)).infer(x, kernel)
    assert str(padded) == "f32[batch, 4, (h + 1)//2, w - 1]"
    assert Conv((2, 1), (1, 1), 1, "same").infer(x, kernel).shape[2:] == ((symbol("h") + 1) // 2, symbol("w"))


@pytest.mark.parametrize(
    ("op", "x", "kernel", "message"),
    [
        (Conv((1,), (1,), 1, (0, 0)), "f32[2, 3]", "f32[4, 3]", "1 to 3 spatial axes"),
        (Conv((1,) * 4, (1,) * 4, 1, (0,) * 8), "f32[1, 1, 2, 2, 2, 2]", "f32[1, 1, 1, 1, 1, 1]", "1 to 3 spatial"),
        (Conv((1, 1), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f32[4, 3, 2]", "strides=.1, 1. for .*expected 1 numbers"),
        (Conv((0,), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f32[4, 3, 2]", "numbers of 1 or more"),
        (Conv((1,), (1,), 1, (0,)), "f32[2, 3, 5]", "f32[4, 3, 2]", "padding=.0,. for .* 2 numbers of 0 or more"),
        (Conv((1,), (1,), 1, (0, -1)), "f32[2, 3, 5]", "f32[4, 3, 2]", "numbers of 0 or more"),
        (Conv((1,), (1,), 1, "valid"), "f32[2, 3, 5]", "f32[4, 3, 2]", "padding='valid'"),
        (Conv((1,), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f32[4, 2, 2]", "channels: sizes 3 and 2 differ"),
        (Conv((1,), (1,), 2, (0, 0)), "f32[2, 4, 5]", "f32[3, 2, 2]", "groups=2 and the kernel .* expected a divisor"),
        (Conv((1,), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f32[4, 3, n]", "expected known sizes"),
        (Conv((1,), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f32[4, 3, 2, 2]", "expected x.N, C"),
        (Conv((1,), (1,), 1, (0, 0)), "f32[2, 3, 5]", "f64[4, 3, 2]", "expected one dtype"),
        (Conv((1,), (1,), 1, (0, 0)), "i32[2, 3, 5]", "i32[4, 3, 2]", "expected a dtype of"),
        (Conv((1,), (2,), 1, (0, 1)), "f32[2, 3, 3]", "f32[4, 3, 3]", "too small along spatial axis 0"),
    ],
    ids=str,
)
def test_types_that_do_not_fit(op: Conv, x: str, kernel: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(parse_type(x), parse_type(kernel))


def graph_of(x: str, kernel: Array, strides: tuple[int, int], dilations: tuple[int, int], padding: Padding) -> Graph:
    graph = Graph()
    source = graph.add(Input("x", parse_type(x))).output
    weight = graph.add(constant(kernel)).output
    graph.add(Output("y"), graph.add(Conv(strides, dilations, 1, padding), source, weight).output)
    return graph


@pytest.mark.parametrize(
    ("op", "kernel", "message"),
    [
        (ConvTranspose((1,), (1,), 1, (0, 0), (0, 0)), "f32[3, 4, 2]", "an output_padding of 1 numbers"),
        (ConvTranspose((1,), (1,), 1, (0, 0), (0,)), "f32[2, 4, 2]", "channels: sizes 3 and 2 differ"),
        (ConvTranspose((1,), (1,), 2, (0, 0), (0,)), "f32[3, 4, 2]", "groups=2 and the kernel"),
        (ConvTranspose((1,), (1,), 1, (3, 3), (0,)), "f32[3, 4, 2]", "leaves nothing along spatial axis 0"),
    ],
    ids=str,
)
def test_types_that_do_not_fit_a_transposition(op: ConvTranspose, kernel: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(parse_type("f32[2, 3, 5]"), parse_type(kernel))


@pytest.mark.parametrize("type", ["f32[2, 3, 9, 8]", "f32[batch, 3, h, w]"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_same_with_dilations_runs_though_onnxruntime_refuses_it(type: str, strides: tuple[int, int]) -> None:
    kernel = draw(4, 3, 3, 2, dtype=np.float32)
    graph = graph_of(type, kernel, strides, (2, 3), "same")
    x = draw(2, 3, 9, 8, dtype=np.float32)
    session = make_session(to_model_proto(graph).SerializeToString())
    expected = Conv(strides, (2, 3), 1, "same").eval(x, kernel)
    np.testing.assert_allclose(run_session(session, {"x": x})["y"], expected, atol=1e-5)


def test_same_of_unknown_sizes_with_gaps_between_dilated_windows_is_refused() -> None:
    graph = graph_of("f32[batch, 3, h, w]", draw(4, 3, 1, 1, dtype=np.float32), (2, 2), (2, 2), "same")
    with pytest.raises(UnsupportedError, match="give the input concrete sizes"):
        to_model_proto(graph)


def test_the_type_of_the_bias() -> None:
    types: list[TensorType] = [parse_type(text) for text in ("f32[2, 3, 5]", "f32[4, 3, 2]", "f32[3]")]
    with pytest.raises(ShapeError, match="filters: sizes 4 and 3 differ"):
        Conv((1,), (1,), 1, (0, 0)).infer(*types)


@pytest.mark.parametrize("dilation", [1, 2**62])
def test_steps_of_any_size_that_are_never_taken(dilation: int) -> None:
    x, kernel = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), np.ones((1, 1, 1, 1), np.float32)
    result = Conv((1, 2**62), (1, dilation), 1, (0, 0, 0, 0)).eval(x, kernel)
    assert result.tolist() == [[[[0], [4], [8], [12]]]]
