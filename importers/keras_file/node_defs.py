"""Operations of TensorFlow's graphs, which Keras 2 recorded with TensorFlow 2.0 to 2.3: `TensorFlowOpLayer`.

The config has the node as a dict of protobuf's JSON, or as the text that the message's bytes are in UTF-8, and by
their places the inputs that are constants. Each operation is a function of TensorFlow, by `_OPERATIONS`.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/node_def.proto, attr_value.proto
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file.document import revive
from kir.importers.tensorflow_names import function_at
from kir.support.protobuf import VARINT, BrokenMessageError, walk_fields

# An operation, the function's path, its arguments for the inputs in order (`*values` for all but the later ones), and
# for attributes that say what is computed, attribute=argument.
_OPERATIONS = {
    name: words
    for name, *words in (
        line.split()
        for line in """
Abs math.abs x
Acos math.acos x
Acosh math.acosh x
Add math.add x y
AddN math.add_n *inputs
AddV2 math.add x y
All math.reduce_all input_tensor axis keep_dims=keepdims
Any math.reduce_any input_tensor axis keep_dims=keepdims
ArgMax math.argmax input axis output_type=output_type
ArgMin math.argmin input axis output_type=output_type
Asin math.asin x
Asinh math.asinh x
Atan math.atan x
Atan2 math.atan2 y x
Atanh math.atanh x
AvgPool nn.avg_pool input ksize=ksize strides=strides padding=padding data_format=data_format
BatchMatMul linalg.matmul a b adj_x=transpose_a adj_y=transpose_b
BatchMatMulV2 linalg.matmul a b adj_x=transpose_a adj_y=transpose_b
BatchMatMulV3 linalg.matmul a b adj_x=transpose_a adj_y=transpose_b
BatchToSpaceND batch_to_space input block_shape crops
BiasAdd nn.bias_add value bias data_format=data_format
BroadcastTo broadcast_to input shape
Cast cast x DstT=dtype
Ceil math.ceil x
ClipByValue clip_by_value t clip_value_min clip_value_max
ConcatV2 concat *values axis
Conv2D nn.conv2d input filters strides=strides padding=padding data_format=data_format dilations=dilations
Conv3D nn.conv3d input filters strides=strides padding=padding data_format=data_format dilations=dilations
Cos math.cos x
Cosh math.cosh x
Cross linalg.cross a b
Cumprod math.cumprod x axis exclusive=exclusive reverse=reverse
Cumsum math.cumsum x axis exclusive=exclusive reverse=reverse
DepthToSpace nn.depth_to_space input block_size=block_size data_format=data_format
DepthwiseConv2dNative nn.depthwise_conv2d input filter strides=strides padding=padding data_format=data_format
Div compat.v1.div x y
DivNoNan math.divide_no_nan x y
Einsum einsum *inputs equation=equation
Elu nn.elu features
Equal math.equal x y
Erf math.erf x
Exp math.exp x
ExpandDims expand_dims input axis
Expm1 math.expm1 x
Fill fill dims value
Floor math.floor x
FloorDiv math.floordiv x y
FloorMod math.floormod x y
GatherNd gather_nd params indices
GatherV2 gather params indices axis batch_dims=batch_dims
Greater math.greater x y
GreaterEqual math.greater_equal x y
Identity identity input
IsFinite math.is_finite x
IsInf math.is_inf x
IsNan math.is_nan x
L2Loss nn.l2_loss t
LRN nn.lrn input depth_radius=depth_radius bias=bias alpha=alpha beta=beta
LeakyRelu nn.leaky_relu features alpha=alpha
Less math.less x y
LessEqual math.less_equal x y
Log math.log x
Log1p math.log1p x
LogSoftmax nn.log_softmax logits
LogicalAnd math.logical_and x y
LogicalNot math.logical_not x
LogicalOr math.logical_or x y
MatMul linalg.matmul a b transpose_a=transpose_a transpose_b=transpose_b
MatrixBandPart linalg.band_part input num_lower num_upper
Max math.reduce_max input_tensor axis keep_dims=keepdims
MaxPool nn.max_pool input ksize=ksize strides=strides padding=padding data_format=data_format
Maximum math.maximum x y
Mean math.reduce_mean input_tensor axis keep_dims=keepdims
Min math.reduce_min input_tensor axis keep_dims=keepdims
Minimum math.minimum x y
MirrorPad pad tensor paddings mode=mode
Mul math.multiply x y
MulNoNan math.multiply_no_nan x y
Neg math.negative x
NotEqual math.not_equal x y
OneHot one_hot indices depth on_value off_value axis=axis
OnesLike ones_like input
Pack stack *values axis=axis
Pad pad tensor paddings
PadV2 pad tensor paddings constant_values
Pow math.pow x y
Prod math.reduce_prod input_tensor axis keep_dims=keepdims
Range range start limit delta
Rank rank input
RealDiv realdiv x y
Reciprocal math.reciprocal x
Relu nn.relu features
Relu6 nn.relu6 features
Reshape reshape tensor shape
ResizeArea compat.v1.image.resize_area images size align_corners=align_corners
ResizeBicubic compat.v1.image.resize_bicubic images size align_corners=align_corners half_pixel_centers=half_pixel_centers
ResizeBilinear compat.v1.image.resize_bilinear images size align_corners=align_corners half_pixel_centers=half_pixel_centers
ResizeNearestNeighbor compat.v1.image.resize_nearest_neighbor images size align_corners=align_corners half_pixel_centers=half_pixel_centers
ReverseV2 reverse tensor axis
Roll roll input shift axis
Round math.round x
Rsqrt math.rsqrt x
Select compat.v1.where condition x y
SelectV2 where condition x y
Selu nn.selu features
Shape shape input out_type=out_type
Sigmoid math.sigmoid x
Sign math.sign x
Sin math.sin x
Sinh math.sinh x
Size size input out_type=out_type
Slice slice input_ begin size
Softmax nn.softmax logits
Softplus math.softplus features
Softsign nn.softsign features
SpaceToBatchND space_to_batch input block_shape paddings
SpaceToDepth nn.space_to_depth input block_size=block_size data_format=data_format
Split split axis value num_split=num_or_size_splits
SplitV split value num_or_size_splits axis
Sqrt math.sqrt x
Square math.square x
SquaredDifference math.squared_difference x y
Squeeze squeeze input squeeze_dims=axis
StopGradient stop_gradient input
StridedSlice strided_slice input_ begin end strides begin_mask=begin_mask end_mask=end_mask ellipsis_mask=ellipsis_mask new_axis_mask=new_axis_mask shrink_axis_mask=shrink_axis_mask
Sub math.subtract x y
Sum math.reduce_sum input_tensor axis keep_dims=keepdims
Tan math.tan x
Tanh math.tanh x
TensorScatterUpdate tensor_scatter_nd_update tensor indices updates
Tile tile input multiples
TopK math.top_k input k=k sorted=sorted
TopKV2 math.top_k input k sorted=sorted
Transpose transpose a perm
TruncateDiv truncatediv x y
TruncateMod truncatemod x y
Unpack unstack value num=num axis=axis
Xdivy math.xdivy x y
Xlogy math.xlogy x y
ZerosLike zeros_like input
""".splitlines()  # noqa: E501 (one operation is one line)
        if line
    )
}
# The numbers of TensorFlow's dtypes.
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_NAMED_DTYPES = {"DT_HALF": "float16", "DT_FLOAT": "float32", "DT_DOUBLE": "float64"}


def function_of_node(config: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    """Return the name of an operation, and the function of its inputs that are no constants.

    Raises:
        UnsupportedError: kir does not have the operation.
        FormatError: the config is not that of a node.
    """
    operation, attributes = _read_node(config.get("node_def"))
    constants = _read_constants(config.get("constants"))
    if operation not in _OPERATIONS:
        raise UnsupportedError(f"kir does not have TensorFlow's operation {operation}")
    path, *words = _OPERATIONS[operation]
    function = function_at(path)
    assert function is not None, f"{path} is one of kir's functions"
    names = [word for word in words if "=" not in word]
    wanted = dict(word.split("=") for word in words if "=" in word)
    given = {wanted[name]: value for name, value in attributes.items() if name in wanted}
    equation = given.pop("equation", None)

    def call(inputs: Any) -> Any:
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        for place, value in sorted(constants.items()):
            values.insert(place, value)
        if equation is not None:
            return function(equation, *values)
        return function(**_named(operation, names, values), **given)

    call.__name__ = operation
    return operation, call


def _named(operation: str, names: Sequence[str], values: list[Any]) -> dict[str, Any]:
    """Return the inputs by the function's arguments; a list takes all that the others leave."""
    named: dict[str, Any] = {}
    if names[0].startswith("*"):
        rest = len(values) - len(names) + 1
        named[names[0][1:]], values, names = values[:rest], values[rest:], names[1:]
    if len(values) != len(names):
        raise FormatError(f"{operation} has {len(values)} inputs; expected {', '.join(names)}")
    return named | dict(zip(names, values, strict=True))


def _read_constants(constants: object) -> dict[int, Any]:
    if not constants:
        return {}
    if not isinstance(constants, dict) or not all(key.isdecimal() for key in constants):
        raise FormatError("the constants of a TensorFlowOpLayer are not numbered")
    return {int(key): revive(value) for key, value in constants.items()}


def _read_node(node: object) -> tuple[str, dict[str, Any]]:
    """Return the operation of a node and its attributes."""
    try:
        if isinstance(node, dict):
            attributes = {key: _json_value(value) for key, value in node.get("attr", {}).items()}
            return str(node["op"]), attributes
        if isinstance(node, str):
            return _parse_node(node.encode("utf-8"))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, BrokenMessageError, struct.error) as error:
        raise FormatError(f"the node_def of a TensorFlowOpLayer is damaged: {type(error).__name__}: {error}") from None
    raise FormatError(f"the node_def of a TensorFlowOpLayer is a {type(node).__name__}; expected a dict or text")


def _json_value(value: Mapping[str, Any]) -> Any:
    """Return an attribute in protobuf's JSON, which has integers as text, and bytes in base64."""
    kind, content = next(iter(value.items()))
    if kind == "list":
        return [_json_value({one: item}) for one, items in content.items() for item in items]
    if kind == "i":
        return int(content)
    if kind == "s":
        return base64.b64decode(content).decode()
    if kind == "type":
        return _NAMED_DTYPES.get(content, content.removeprefix("DT_").lower())
    return content


# Protobuf's wire format


def _parse_node(message: bytes) -> tuple[str, dict[str, Any]]:
    operation, attributes = "", {}
    for number, value in _fields(message):
        if number == 2:
            operation = value.decode()
        elif number == 5:
            entry = dict(_fields(value))
            attributes[entry[1].decode()] = _wire_value(entry.get(2, b""))
    return operation, attributes


def _wire_value(message: bytes) -> Any:
    """Return an attribute; one without a field is an empty one of an unknown kind."""
    for number, value in _fields(message):
        if number == 1:
            return [item for one, content in _fields(value) for item in _wire_items(one, content)]
        return _wire_scalar(number, value)
    return None


def _wire_items(number: int, value: Any) -> list[Any]:
    """Return the items of a field of a list, which are packed if they are numbers."""
    if number in (3, 6) and isinstance(value, bytes):
        return [_wire_scalar(number, one) for one in _varints(value)]
    return [_wire_scalar(number, value)]


def _wire_scalar(number: int, value: Any) -> Any:
    if number == 2:
        return value.decode()
    if number == 3:
        return value - (1 << 64) if value >> 63 else value
    if number == 4:
        return struct.unpack("<f", value)[0]
    if number == 5:
        return bool(value)
    return _DTYPES.get(value) if number == 6 else None


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and the content of each field of a message: an integer, or bytes."""
    for field in walk_fields(message, 0, len(message)):
        if field.kind == VARINT:
            yield field.number, _varints(message[field.start : field.end])[0]
        else:
            yield field.number, message[field.start : field.end]


def _varints(content: bytes) -> list[int]:
    """Return integers of 7 bits a byte, of which the last has a high bit of 0."""
    numbers, value, shift = [], 0, 0
    for byte in content:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    return numbers
