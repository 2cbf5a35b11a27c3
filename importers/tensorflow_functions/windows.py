"""`tf.nn`: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir import backend as K
from kir.backend.convolution import (
    from_channels_first,
    kernel_in_front,
    make_windows,
    to_channels_first,
)
from kir.backend.dispatch import as_integer, as_shape, dtype_of, rank_of
from kir.importers.tensorflow_functions.signatures import (
    alike,
    refuse,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.ir.dims import Sym
from kir.ir.trace import emit
from kir.ops.convolution import ConvTranspose

# Windows


def _is_first(data_format: Any) -> bool:
    return data_format is not None and str(data_format).startswith("NC")


def _format(data_format: Any) -> str:
    return "channels_first" if _is_first(data_format) else "channels_last"


def _spatial(path: str, name: str, given: Any, rank: int, data_format: Any) -> tuple[int, ...]:
    """Return a number for each spatial axis, from one number, one for each of them, or one for each axis.

    Raises:
        UnsupportedError: the batch or the channels have another one than 1.
    """
    numbers = [1] if given is None else whole(given)
    numbers = [numbers] if isinstance(numbers, int) else [as_integer(one, name) for one in as_shape(numbers, name)]
    if len(numbers) == rank + 2:
        first = 2 if _is_first(data_format) else 1
        spatial = numbers[first : first + rank]
        if any(one != 1 for one in (*numbers[:first], *numbers[first + rank :])):
            raise refuse(path, f"with {name}={numbers} for the batch or the channels")
        return tuple(spatial)
    return tuple(numbers * rank if len(numbers) == 1 else numbers)


def _pad_as_given(x: Any, padding: Any, value: float = 0.0) -> tuple[Any, str]:
    """Return the padded tensor for a list of pairs, and Keras's word for how the rest is padded."""
    if isinstance(padding, str):
        return x, padding.lower()
    widths = [tuple(int(one) for one in pair) for pair in whole(padding)]
    return (K.pad(x, widths, constant_values=value) if any(map(any, widths)) else x), "valid"


def _convolve(path: str, input: Any, filters: Any, strides: Any, padding: Any, data_format: Any, dilations: Any) -> Any:
    x, kernel = alike(input, filters)
    rank = rank_of(kernel) - 2
    # Further axes in front are samples, too.
    in_front = sizes_of(x)[: rank_of(x) - rank - 2]
    own = sizes_of(x)[len(in_front) :]
    if in_front:
        x = K.reshape(x, (-1, *own[1:]))
    x, word = _pad_as_given(x, padding)
    steps = _spatial(path, "strides", strides, rank, data_format)
    rates = _spatial(path, "dilations", dilations, rank, data_format)
    if max(steps) > 1 and max(rates) > 1 and path == "nn.convolution":
        raise refuse(path, f"with strides={steps} and dilations={rates}")
    result = K.conv(x, kernel, steps, word, _format(data_format), rates)
    return K.reshape(result, (*in_front, own[0], *sizes_of(result)[1:])) if in_front else result


@tensorflow("nn.conv1d")
def _conv1d(
    input: Any, filters: Any, stride: Any, padding: Any, data_format: Any = "NWC", dilations: Any = None
) -> Any:
    return _convolve("nn.conv1d", input, filters, stride, padding, data_format, dilations)


@tensorflow("compat.v1.nn.conv1d")
def _conv1d_v1(
    value: Any = None,
    filters: Any = None,
    stride: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: Any = None,
    data_format: Any = None,
    input: Any = None,
    dilations: Any = None,
) -> Any:
    x = input if value is None else value
    return _convolve("nn.conv1d", x, filters, stride, padding, data_format, dilations)


@tensorflow("nn.conv2d")
def _conv2d(
    input: Any, filters: Any, strides: Any, padding: Any, data_format: Any = "NHWC", dilations: Any = None
) -> Any:
    return _convolve("nn.conv2d", input, filters, strides, padding, data_format, dilations)


@tensorflow("compat.v1.nn.conv2d")
def _conv2d_v1(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool = True,
    data_format: Any = "NHWC",
    dilations: Any = None,
    filters: Any = None,
) -> Any:
    kernel = filters if filter is None else filter
    return _convolve("nn.conv2d", input, kernel, strides, padding, data_format, dilations)


@tensorflow("nn.conv3d")
def _conv3d(
    input: Any, filters: Any, strides: Any, padding: Any, data_format: Any = "NDHWC", dilations: Any = None
) -> Any:
    return _convolve("nn.conv3d", input, filters, strides, padding, data_format, dilations)


@tensorflow("compat.v1.nn.conv3d")
def _conv3d_v1(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    data_format: Any = "NDHWC",
    dilations: Any = None,
    filters: Any = None,
) -> Any:
    kernel = filters if filter is None else filter
    return _convolve("nn.conv3d", input, kernel, strides, padding, data_format, dilations)


@tensorflow("nn.convolution")
def _convolution(
    input: Any,
    filters: Any,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: Any = None,
    dilations: Any = None,
) -> Any:
    return _convolve("nn.convolution", input, filters, strides, padding, data_format, dilations)


@tensorflow("compat.v1.nn.convolution")
def _convolution_v1(
    input: Any,
    filter: Any = None,
    padding: Any = None,
    strides: Any = None,
    dilation_rate: Any = None,
    data_format: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    kernel = filters if filter is None else filter
    rates = dilations if dilation_rate is None else dilation_rate
    return _convolve("nn.convolution", input, kernel, strides, padding, data_format, rates)


@tensorflow("nn.atrous_conv2d")
def _atrous_conv2d(value: Any, filters: Any, rate: Any, padding: Any) -> Any:
    return _convolve("nn.atrous_conv2d", value, filters, 1, padding, "NHWC", rate)


@tensorflow("nn.depthwise_conv2d")
def _depthwise_conv2d(
    input: Any, filter: Any, strides: Any, padding: Any, data_format: Any = None, dilations: Any = None
) -> Any:
    path = "nn.depthwise_conv2d"
    x, kernel = alike(input, filter)
    x, word = _pad_as_given(x, padding)
    steps = _spatial(path, "strides", strides, 2, data_format)
    rates = _spatial(path, "dilations", dilations, 2, data_format)
    return K.depthwise_conv(x, kernel, steps, word, _format(data_format), rates)


@tensorflow("compat.v1.nn.depthwise_conv2d compat.v1.nn.depthwise_conv2d_native")
def _depthwise_conv2d_v1(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    data_format: Any = None,
    dilations: Any = None,
) -> Any:
    return _depthwise_conv2d(input, filter, strides, padding, data_format, dilations if rate is None else rate)


@tensorflow("nn.separable_conv2d")
def _separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: Any = None,
    dilations: Any = None,
) -> Any:
    x = _depthwise_conv2d(input, depthwise_filter, strides, padding, data_format, dilations)
    return _convolve("nn.separable_conv2d", x, pointwise_filter, 1, "VALID", data_format, None)


@tensorflow("compat.v1.nn.separable_conv2d")
def _separable_conv2d_v1(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    data_format: Any = None,
    dilations: Any = None,
) -> Any:
    rates = dilations if rate is None else rate
    return _separable_conv2d(input, depthwise_filter, pointwise_filter, strides, padding, data_format, rates)


def _transposed(
    path: str,
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any,
    data_format: Any,
    dilations: Any,
) -> Any:
    """Return the transposed convolution whose result has the sizes of `output_shape`."""
    x, kernel = alike(input, filters)
    rank = rank_of(kernel) - 2
    steps = _spatial(path, "strides", strides, rank, data_format)
    rates = _spatial(path, "dilations", dilations, rank, data_format)
    if not isinstance(padding, str):
        raise refuse(path, "with explicit padding", "use SAME or VALID")
    windows = make_windows(path, sizes_of(kernel)[:rank], steps, rates)
    x = to_channels_first(x, _format(data_format))
    wanted = as_shape(output_shape, "output_shape")
    if len(wanted) > rank:
        first = 2 if _is_first(data_format) else 1
        wanted = wanted[first : first + rank]
    before, after = [], []
    for window, size, out in zip(windows, sizes_of(x)[2:], wanted, strict=True):
        surplus = (size - 1) * window.stride + window.extent - out
        if isinstance(surplus, Sym):
            raise refuse(path, f"with output_shape={wanted} for the sizes {sizes_of(x)[2:]}", "give concrete sizes")
        front = max(surplus, 0) // 2 if padding.lower() == "same" else 0
        before.append(front)
        after.append(surplus - front)
    op = ConvTranspose(
        tuple(window.stride for window in windows),
        tuple(window.dilation for window in windows),
        1,
        (*before, *(max(one, 0) for one in after)),
        tuple(max(-one, 0) for one in after),
    )
    return from_channels_first(emit(op, x, kernel_in_front(kernel), None), _format(data_format))


@tensorflow("nn.conv1d_transpose")
def _conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: Any = "NWC",
    dilations: Any = None,
) -> Any:
    return _transposed("nn.conv1d_transpose", input, filters, output_shape, strides, padding, data_format, dilations)


@tensorflow("nn.conv2d_transpose")
def _conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: Any = "NHWC",
    dilations: Any = None,
) -> Any:
    return _transposed("nn.conv2d_transpose", input, filters, output_shape, strides, padding, data_format, dilations)


@tensorflow("compat.v1.nn.conv2d_transpose")
def _conv2d_transpose_v1(
    value: Any = None,
    filter: Any = None,
    output_shape: Any = None,
    strides: Any = None,
    padding: Any = "SAME",
    data_format: Any = "NHWC",
    input: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    x, kernel = input if value is None else value, filters if filter is None else filter
    return _transposed("nn.conv2d_transpose", x, kernel, output_shape, strides, padding, data_format, dilations)


@tensorflow("nn.conv3d_transpose")
def _conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: Any = "NDHWC",
    dilations: Any = None,
) -> Any:
    return _transposed("nn.conv3d_transpose", input, filters, output_shape, strides, padding, data_format, dilations)


# Pooling


def _pool(path: str, kind: str, input: Any, ksize: Any, strides: Any, padding: Any, data_format: Any) -> Any:
    x = single(input)
    rank = rank_of(x) - 2
    lowest = -np.inf if dtype_of(x).is_float else np.iinfo(dtype_of(x).numpy).min
    x, word = _pad_as_given(x, padding, lowest if kind == "max" else 0.0)
    size = _spatial(path, "ksize", ksize, rank, data_format)
    steps = _spatial(path, "strides", strides, rank, data_format)
    pool = K.max_pool if kind == "max" else K.average_pool
    return pool(x, size, steps, word, _format(data_format))


def _pooling(paths: str, kind: str, first: str, default: Any) -> None:
    if first == "value":

        def call_v1(
            value: Any = None,
            ksize: Any = None,
            strides: Any = None,
            padding: Any = None,
            data_format: Any = default,
            input: Any = None,
        ) -> Any:
            x = input if value is None else value
            return _pool(paths.split()[0], kind, x, ksize, strides, padding, data_format)

        tensorflow(paths)(call_v1)
        return

    def call(input: Any, ksize: Any, strides: Any, padding: Any, data_format: Any = default) -> Any:
        return _pool(paths.split()[0], kind, input, ksize, strides, padding, data_format)

    tensorflow(paths)(call)


for _kind, _word in (("max", "max"), ("avg", "avg")):
    _pooling(f"nn.{_word}_pool nn.{_word}_pool1d nn.{_word}_pool2d nn.{_word}_pool3d", _kind, "input", None)
    _pooling(f"compat.v1.nn.{_word}_pool", _kind, "value", "NHWC")


@tensorflow("nn.pool")
def _any_pool(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: Any = None,
    dilations: Any = None,
) -> Any:
    if dilations is not None and any(one != 1 for one in np.ravel(whole(dilations))):
        raise refuse("nn.pool", f"with dilations={dilations}")
    steps: int | Sequence[int] = 1 if strides is None else strides
    return _pool("nn.pool", pooling_type.lower(), input, window_shape, steps, padding, data_format)
