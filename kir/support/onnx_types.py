"""ONNX's types as text, in onnxruntime's notation: "seq(map(int64,tensor(float)))", "tensor(float8e4m3fn)[2,n]".

onnx is not imported here: messages are instances of its `TypeProto`.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, TypeProto and TensorProto.DataType.
"""

from __future__ import annotations

import re
from typing import Any

from kir.errors import FormatError

ELEMENTS = (
    *("undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16"),
    *("double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz"),
    *("float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2"),
)
TENSORS = {"tensor": "tensor_type", "sparse_tensor": "sparse_tensor_type"}
CONTAINERS = {"seq": "sequence_type", "optional": "optional_type"}

_KINDS = "|".join((*TENSORS, *CONTAINERS, "map"))
TYPE_TEXT = re.compile(rf"(?:{_KINDS})\(.*\)(?:\[.*\])?")
MAX_NESTING = 16

_PLAIN_SIZE = re.compile(r"\d+|[^\W\d]\w*")


def type_text(proto: Any) -> str:
    """Return the text of a type, `UNKNOWN` if it says nothing. A size without a plain name is "?"."""
    kind = proto.WhichOneof("value")
    for name, field in TENSORS.items():
        if kind == field:
            return _tensor_text(name, getattr(proto, field))
    for name, field in CONTAINERS.items():
        if kind == field:
            return f"{name}({type_text(getattr(proto, field).elem_type)})"
    if kind == "map_type":
        return f"map({element_text(proto.map_type.key_type)},{type_text(proto.map_type.value_type)})"
    return UNKNOWN


def _tensor_text(name: str, tensor: Any) -> str:
    text = f"{name}({element_text(tensor.elem_type)})"
    if not tensor.HasField("shape"):
        return text
    sizes = [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim]
    return f"{text}[{','.join(size if _PLAIN_SIZE.fullmatch(size) else '?' for size in sizes)}]"


def element_text(number: int) -> str:
    """Return ONNX's name of an element type; "undefined" for a number that it does not know."""
    return ELEMENTS[number] if 0 <= number < len(ELEMENTS) else "undefined"


UNKNOWN = "tensor(undefined)"  # a type that says nothing


def fill_type(proto: Any, text: str, depth: int = 0) -> None:
    """Make an empty `TypeProto` the type that a text says, which `type_text` gave; `UNKNOWN` leaves it empty.

    Raises:
        FormatError: the text is none of a type.
    """
    if text == UNKNOWN:
        return
    match = re.fullmatch(r"(\w+)\((.*)\)(?:\[(.*)\])?", text)
    kind, inner, sizes = match.groups() if match else ("", "", None)
    if depth > MAX_NESTING or (kind not in TENSORS and sizes is not None):
        kind = ""
    if kind in TENSORS and inner in ELEMENTS:
        _fill_tensor(getattr(proto, TENSORS[kind]), inner, sizes)
    elif kind in CONTAINERS:
        fill_type(getattr(proto, CONTAINERS[kind]).elem_type, inner, depth + 1)
    elif kind == "map" and inner.partition(",")[0] in ELEMENTS:
        key, _, value = inner.partition(",")
        proto.map_type.key_type = ELEMENTS.index(key)
        fill_type(proto.map_type.value_type, value, depth + 1)
    else:
        raise FormatError(f"{text!r} is no type of ONNX; expected such as 'seq(tensor(float))'")


def _fill_tensor(tensor: Any, element: str, sizes: str | None) -> None:
    tensor.elem_type = ELEMENTS.index(element)
    if sizes is None:
        return
    tensor.shape.SetInParent()
    for size in sizes.split(",") if sizes else ():
        dim = tensor.shape.dim.add()
        if size.isdecimal():
            dim.dim_value = int(size)
        elif size != "?":
            dim.dim_param = size
