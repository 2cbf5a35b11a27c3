"""Guesses of layers with spatial axes: convolutions, poolings, padding, cropping, up-sampling.

A file has the channels in front, since operators have: where a layer with the channels last would give Transposes that
are no longer there, the layer with the channels first is the one that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from kir import layers
from kir.ir.dims import Dim, divide_exactly
from kir.ir.graph import Node, Value
from kir.ir.op import Array, Op
from kir.lift.arrays import array_of
from kir.lift.components import Component, Guess, activations_of, makes
from kir.modeling.layer import Layer
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.reduce import ReduceMax, ReduceMean
from kir.ops.resize import Resize
from kir.ops.shape import Expand, Gather, Pad, Slice, Transpose

LAST, FIRST = "channels_last", "channels_first"


def _sources(component: Component, node: Node) -> Iterator[tuple[str, Value]]:
    """Yield the data format of a layer around an operator, and what the layer reads.

    That is what a Transpose before the operator reads, or what the operator itself reads.
    """
    (x, *_) = node.inputs
    assert x is not None
    if isinstance(x.node.op, Transpose) and x.node in component.nodes and x.node.inputs[0] is not None:
        yield LAST, x.node.inputs[0]
    yield FIRST, x


def _both_formats(component: Component) -> Iterator[tuple[str, Value]]:
    """Yield the only value that a component reads, in both data formats."""
    if len(component.inputs) == 1:
        yield from product((LAST, FIRST), component.inputs)


# Convolutions


@makes(layers.Conv1D, layers.Conv2D, layers.Conv3D, of=Conv)
def _convolution(component: Component, cls: type[Layer], node: Node, op: Conv) -> Iterator[Guess]:
    kernel = array_of(node.inputs[1])
    if kernel is not None:
        arguments = {"filters": kernel.shape[0], "groups": op.groups, **_window_arguments(op, kernel)}
        yield from _convolutions(component, cls, node, arguments, [_keras_kernel(kernel)])


@makes(layers.DepthwiseConv1D, layers.DepthwiseConv2D, of=Conv)
def _depthwise_convolution(component: Component, cls: type[Layer], node: Node, op: Conv) -> Iterator[Guess]:
    kernel = array_of(node.inputs[1])
    if kernel is not None:
        depth, depthwise = _depthwise(op, kernel)
        yield from _convolutions(
            component, cls, node, {"depth_multiplier": depth, **_window_arguments(op, kernel)}, [depthwise]
        )


@makes(layers.SeparableConv1D, layers.SeparableConv2D, of=Conv)
def _separable_convolution(component: Component, cls: type[Layer], node: Node, op: Conv) -> Iterator[Guess]:
    nodes = [node for node in component.nodes if isinstance(node.op, Conv)]
    kernel, pointwise = (array_of(node.inputs[1]) for node in (nodes[0], nodes[-1]))
    if len(nodes) == 2 and kernel is not None and pointwise is not None:
        depth, depthwise = _depthwise(op, kernel)
        arguments = {"filters": pointwise.shape[0], "depth_multiplier": depth, **_window_arguments(op, kernel)}
        yield from _convolutions(component, cls, node, arguments, [depthwise, _keras_kernel(pointwise)], nodes[1])


@makes(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose, of=ConvTranspose)
def _transposed_convolution(component: Component, cls: type[Layer], node: Node, op: ConvTranspose) -> Iterator[Guess]:
    kernel = array_of(node.inputs[1])
    if kernel is not None:
        # What Keras adds by default, or any number of elements that the strides allow.
        for more in (None, *range(min(op.strides))):
            arguments = {"filters": kernel.shape[1], "output_padding": more, **_window_arguments(op, kernel)}
            yield from _convolutions(component, cls, node, arguments, [_keras_kernel(kernel)])


def _window_arguments(op: Conv | ConvTranspose, kernel: Array) -> dict[str, object]:
    return {"kernel_size": kernel.shape[2:], "strides": op.strides, "dilation_rate": op.dilations}


def _keras_kernel(kernel: Array) -> Array:
    """Return a kernel (b, a, *k) as Keras has it: (*k, a, b)."""
    return np.ascontiguousarray(np.moveaxis(kernel, (1, 0), (-2, -1)))


def _depthwise(op: Conv, kernel: Array) -> tuple[int, Array]:
    """Return the depth multiplier, and the kernel as Keras has it: (*k, channels, depth multiplier)."""
    depth = max(kernel.shape[0] // op.groups, 1)
    return depth, _keras_kernel(kernel).reshape(*kernel.shape[2:], -1, depth)


def _convolutions(
    component: Component,
    cls: type[Layer],
    node: Node,
    arguments: dict[str, object],
    kernels: Sequence[Array],
    last: Node | None = None,
) -> Iterator[Guess]:
    """Yield convolutions in each data format, with each padding and activation that may be; `last` has the bias."""
    bias = array_of((*(last or node).inputs, None)[2])
    weights = [*kernels] if bias is None else [*kernels, bias]
    following = [other.op for other in component.nodes if other is not node]
    names = [*activations_of(component.result, following), None]
    for guess, activation in product(list(_padded(component, cls, node, arguments)), names):
        given = {"activation": activation, "use_bias": bias is not None}
        yield Guess(guess.inputs, {**guess.arguments, **given}, weights)


def _padded(component: Component, cls: type[Layer], node: Node, arguments: dict[str, object]) -> Iterator[Guess]:
    """Yield layers in each data format, with each padding that may be the operator's."""
    match node.op:
        case ConvTranspose():
            paddings: tuple[str, ...] = ("valid", "same")
        case Conv(padding=tuple(padding)) | MaxPool(padding=tuple(padding)) | AveragePool(padding=tuple(padding)) if (
            not any(padding)
        ):
            paddings = ("valid",)
        case _:
            paddings = ("same", "causal") if cls is layers.Conv1D else ("same",)
    for (data_format, x), name in product(list(_sources(component, node)), paddings):
        yield Guess(x, {**arguments, "padding": name, "data_format": data_format})


# Poolings


@makes(
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    of=(MaxPool, AveragePool),
)
def _pooling(component: Component, cls: type[Layer], node: Node, op: MaxPool | AveragePool) -> Iterator[Guess]:
    yield from _padded(component, cls, node, {"pool_size": op.kernel_shape, "strides": op.strides})


@makes(
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    of=(ReduceMax, ReduceMean),
)
def _global_pooling(component: Component, cls: type[Layer], node: Node, op: ReduceMax | ReduceMean) -> Iterator[Guess]:
    if node.inputs[0] is not None:
        data_format = FIRST if 2 in op.axes and 1 not in op.axes else LAST
        yield Guess(node.inputs[0], {"data_format": data_format, "keepdims": op.keepdims})


@makes(
    *(layers.AdaptiveMaxPooling1D, layers.AdaptiveMaxPooling2D, layers.AdaptiveMaxPooling3D),
    *(layers.AdaptiveAveragePooling1D, layers.AdaptiveAveragePooling2D, layers.AdaptiveAveragePooling3D),
)
def _adaptive_pooling(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    for data_format, x in _both_formats(component):
        sizes = component.result.shape[_spatial_axes(data_format)]
        if all(isinstance(size, int) for size in sizes):
            yield Guess(x, {"output_size": sizes, "data_format": data_format})


# Padding, cropping, up-sampling


@makes(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D, of=Pad)
def _zero_padding(component: Component, cls: type[Layer], node: Node, op: Pad) -> Iterator[Guess]:
    widths = list(zip(op.before, op.after, strict=True))
    for data_format, x in _both_formats(component):
        yield Guess(x, {"padding": _per_axis(widths, data_format), "data_format": data_format})


@makes(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D, of=Slice)
def _cropping(component: Component, cls: type[Layer], node: Node, op: Slice) -> Iterator[Guess]:
    if node.inputs[0] is None:
        return
    shape = node.inputs[0].type.shape
    ends = {axis: (start, shape[axis] - end) for axis, start, end in zip(op.axes, op.starts, op.ends, strict=True)}
    cuts = [ends.get(axis, (0, 0)) for axis in range(len(shape))]
    for data_format, x in _both_formats(component):
        chosen = {} if len(shape) == 3 else {"data_format": data_format}
        yield Guess(x, {"cropping": _per_axis(cuts, data_format), **chosen})


@makes(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D, of=(Resize, Expand, Gather, Transpose))
def _up_sampling(component: Component, cls: type[Layer], node: Node, op: Op) -> Iterator[Guess]:
    for data_format, x in _both_formats(component):
        factors = _factors(x.type.shape, component.result.shape, data_format)
        if not factors:
            continue
        if cls is layers.UpSampling1D:
            yield Guess(x, {"size": factors[0]})
        elif cls is layers.UpSampling3D:
            yield Guess(x, {"size": factors, "data_format": data_format})
        else:
            for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
                yield Guess(x, {"size": factors, "data_format": data_format, "interpolation": interpolation})


def _spatial_axes(data_format: str) -> slice:
    return slice(2, None) if data_format == FIRST else slice(1, -1)


def _per_axis(pairs: Sequence[tuple[Dim, Dim]], data_format: str) -> object:
    """Return the pairs of the spatial axes; that of a single one by itself."""
    spatial = tuple(pairs[_spatial_axes(data_format)])
    return spatial[0] if len(spatial) == 1 else spatial


def _factors(before: Sequence[Dim], after: Sequence[Dim], data_format: str) -> tuple[int, ...]:
    """Return how many times as large the spatial axes became; nothing if that is not known."""
    if len(before) != len(after):
        return ()
    places = _spatial_axes(data_format)
    found = [divide_exactly(new, old) for old, new in zip(before[places], after[places], strict=True)]
    return tuple(one for one in found if isinstance(one, int)) if all(isinstance(one, int) for one in found) else ()
