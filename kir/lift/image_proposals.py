"""Proposals of layers with spatial axes: convolutions, poolings, padding, cropping, up-sampling.

A file has the channels in front, since operators have: where a layer with the channels last would give Transposes that
are no longer there, the layer with the channels first is the one that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from kir.ir.dims import Dim, divide_exactly
from kir.ir.graph import Node, Value
from kir.ir.op import Array
from kir.lift.arrays import array_of
from kir.lift.proposals import Component, Proposal, activations_of, attempt, first_of, makes
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.reduce import ReduceMax, ReduceMean
from kir.ops.resize import Resize
from kir.ops.shape import Expand, Gather, Pad, Slice, Transpose

LAST, FIRST = "channels_last", "channels_first"


def _sources(component: Component, node: Node) -> Iterator[tuple[str, Value]]:
    """What a layer around an operator reads, by its data format: what a Transpose before the operator does, or that."""
    (x, *_) = node.inputs
    assert x is not None
    if isinstance(x.node.op, Transpose) and x.node in component.nodes and x.node.inputs[0] is not None:
        yield LAST, x.node.inputs[0]
    yield FIRST, x


# Convolutions


@makes("Conv1D", "Conv2D", "Conv3D")
def _convolution(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, Conv)
    kernel = None if node is None else array_of(node.inputs[1])
    if node is None or kernel is None:
        return
    op: Any = node.op
    arguments = {"filters": kernel.shape[0], **_windows(op, kernel), "groups": op.groups}
    yield from _convolutions(component, name, node, arguments, [_kernel_behind(kernel)])


@makes("DepthwiseConv1D", "DepthwiseConv2D")
def _depthwise_convolution(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, Conv)
    kernel = None if node is None else array_of(node.inputs[1])
    if node is None or kernel is None:
        return
    depth, kernels = _depthwise(node, kernel)
    arguments = {**_windows(node.op, kernel), "depth_multiplier": depth}
    yield from _convolutions(component, name, node, arguments, [kernels])


@makes("SeparableConv1D", "SeparableConv2D")
def _separable_convolution(component: Component, name: str) -> Iterator[Proposal]:
    nodes = [node for node in component.nodes if isinstance(node.op, Conv)]
    arrays = [array_of(node.inputs[1]) for node in nodes]
    if len(nodes) != 2 or arrays[0] is None or arrays[1] is None:
        return
    depth, kernels = _depthwise(nodes[0], arrays[0])
    arguments = {"filters": arrays[1].shape[0], **_windows(nodes[0].op, arrays[0]), "depth_multiplier": depth}
    weights = [kernels, _kernel_behind(arrays[1])]
    yield from _convolutions(component, name, nodes[0], arguments, weights, nodes[1])


@makes("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def _transposed_convolution(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, ConvTranspose)
    kernel = None if node is None else array_of(node.inputs[1])
    if node is None or kernel is None:
        return
    op: Any = node.op
    arguments = {"filters": kernel.shape[1], **_windows(op, kernel)}
    # As many elements more as the strides allow, if not as many as Keras adds without a word.
    for more in (None, *range(min(op.strides))):
        given = {**arguments, "output_padding": more}
        yield from _convolutions(component, name, node, given, [_kernel_behind(kernel)])


def _windows(op: Any, kernel: Array) -> dict[str, Any]:
    """The arguments that all convolutions have."""
    return {"kernel_size": kernel.shape[2:], "strides": op.strides, "dilation_rate": op.dilations}


def _kernel_behind(kernel: Array) -> Array:
    """A kernel (b, a, *k) as Keras has it: (*k, a, b)."""
    return np.ascontiguousarray(np.moveaxis(kernel, (1, 0), (-2, -1)))


def _depthwise(node: Node, kernel: Array) -> tuple[int, Array]:
    """The depth multiplier, and the kernel as Keras has it: (*k, channels, depth multiplier)."""
    op: Any = node.op
    depth = max(kernel.shape[0] // op.groups, 1)
    return depth, _kernel_behind(kernel).reshape(*kernel.shape[2:], -1, depth)


def _convolutions(
    component: Component,
    name: str,
    node: Node,
    arguments: dict[str, Any],
    kernels: Sequence[Array],
    last: Node | None = None,
) -> Iterator[Proposal]:
    """Convolutions in each data format, with each padding and activation that may be; `last` has the bias."""
    (*_, bias_value) = (*(last or node).inputs, None)[:3]
    bias = array_of(bias_value)
    weights = [*kernels] if bias is None else [*kernels, bias]
    following = [other.op for other in component.nodes if other is not node]
    names = activations_of(component.nodes[-1].outputs[0].type, following)
    for (data_format, x), padding, activation in product(
        list(_sources(component, node)), _paddings(node, name), [*names, None]
    ):
        chosen = {"padding": padding, "data_format": data_format, "activation": activation}
        yield from attempt(component, name, x, {**arguments, **chosen, "use_bias": bias is not None}, weights)


def _paddings(node: Node, name: str) -> tuple[str, ...]:
    """The paddings that may be an operator's."""
    op: Any = node.op
    if isinstance(op, ConvTranspose):
        return ("valid", "same")
    if isinstance(op.padding, tuple) and not any(op.padding):
        return ("valid",)
    return ("same", "causal") if name == "Conv1D" else ("same",)


# Poolings


@makes("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
def _pooling(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, MaxPool, AveragePool)
    if node is None:
        return
    op: Any = node.op
    arguments = {"pool_size": op.kernel_shape, "strides": op.strides}
    for (data_format, x), padding in product(list(_sources(component, node)), _paddings(node, name)):
        given = {**arguments, "padding": padding, "data_format": data_format}
        yield from attempt(component, name, x, given)


@makes(
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
)
def _global_pooling(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, ReduceMax, ReduceMean)
    if node is None or node.inputs[0] is None:
        return
    op: Any = node.op
    arguments = {"data_format": FIRST if 2 in op.axes and 1 not in op.axes else LAST, "keepdims": op.keepdims}
    yield from attempt(component, name, node.inputs[0], arguments)


@makes(
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
)
def _adaptive_pooling(component: Component, name: str) -> Iterator[Proposal]:
    sizes = component.nodes[-1].outputs[0].type.shape
    for data_format, x in _both_formats(component):
        spatial = sizes[2:] if data_format == FIRST else sizes[1:-1]
        if all(isinstance(size, int) for size in spatial):
            arguments = {"output_size": spatial, "data_format": data_format}
            yield from attempt(component, name, x, arguments)


def _both_formats(component: Component) -> Iterator[tuple[str, Value]]:
    """The only value that a component reads, in both data formats."""
    if len(component.inputs) == 1:
        yield from product((LAST, FIRST), component.inputs)


# Padding, cropping, up-sampling


@makes("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def _zero_padding(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, Pad)
    if node is None:
        return
    op: Any = node.op
    widths = list(zip(op.before, op.after, strict=True))
    for data_format, x in _both_formats(component):
        arguments = {"padding": _per_axis(widths, data_format), "data_format": data_format}
        yield from attempt(component, name, x, arguments)


@makes("Cropping1D", "Cropping2D", "Cropping3D")
def _cropping(component: Component, name: str) -> Iterator[Proposal]:
    node = first_of(component, Slice)
    if node is None or node.inputs[0] is None:
        return
    op: Any = node.op
    shape = node.inputs[0].type.shape
    ends = {axis: (start, shape[axis] - end) for axis, start, end in zip(op.axes, op.starts, op.ends, strict=True)}
    cuts = [ends.get(axis, (0, 0)) for axis in range(len(shape))]
    for data_format, x in _both_formats(component):
        chosen = {} if len(shape) == 3 else {"data_format": data_format}
        yield from attempt(component, name, x, {"cropping": _per_axis(cuts, data_format), **chosen})


def _per_axis(pairs: Sequence[Any], data_format: str) -> Any:
    """The pairs of the spatial axes; that of a single one by itself."""
    spatial = tuple(pairs[2:] if data_format == FIRST else pairs[1:-1])
    return spatial[0] if len(spatial) == 1 else spatial


@makes("UpSampling1D", "UpSampling2D", "UpSampling3D")
def _up_sampling(component: Component, name: str) -> Iterator[Proposal]:
    if first_of(component, Resize, Expand, Gather, Transpose) is None:
        return
    for data_format, x in _both_formats(component):
        factors = _factors(x.type.shape, component.nodes[-1].outputs[0].type.shape, data_format)
        if not factors:
            continue
        if name == "UpSampling1D":
            yield from attempt(component, name, x, {"size": factors[0]})
        elif name == "UpSampling3D":
            yield from attempt(component, name, x, {"size": factors, "data_format": data_format})
        else:
            for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
                given = {"size": factors, "data_format": data_format, "interpolation": interpolation}
                yield from attempt(component, name, x, given)


def _factors(before: Sequence[Dim], after: Sequence[Dim], data_format: str) -> tuple[int, ...] | None:
    """How many times as large the spatial axes became."""
    if len(before) != len(after):
        return None
    places = slice(2, None) if data_format == FIRST else slice(1, -1)
    found = [divide_exactly(new, old) for old, new in zip(before[places], after[places], strict=True)]
    return tuple(one for one in found if isinstance(one, int)) if all(isinstance(one, int) for one in found) else None
