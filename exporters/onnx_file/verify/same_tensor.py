"""Tensors of a file compared with arrays, bit for bit and a chunk at a time; numbers are read where bytes differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto, helper

from kir.exporters.onnx_file.content import StoredTensor
from kir.exporters.onnx_file.emitter import Array, onnx_dtype
from kir.exporters.onnx_file.write import chunks
from kir.ir.types import as_dtype

Expected: TypeAlias = Array | StoredTensor

MAX_TEXT = 60


def tensor_problem(expected: Expected, found: StoredTensor) -> str:
    """Return what differs between what a tensor should be and what it is, in words; "" if every bit is the same.

    Raises:
        FormatError: the elements cannot be read.
    """
    types = [_type_of(found), _type_of(expected)]
    if types[0] != types[1]:
        return f"is {_type_text(*types[0])} in the file, {_type_text(*types[1])} in the model"
    if types[0][0] == TensorProto.STRING:
        return _differing_texts(_texts_of(expected), [bytes(one) for one in found.head.string_data], found.shape)
    return _differing_bytes(expected, found.elements(), found)


def _type_of(tensor: Expected) -> tuple[int, tuple[int, ...]]:
    if isinstance(tensor, StoredTensor):
        return tensor.head.data_type, tensor.shape
    return onnx_dtype(as_dtype(tensor.dtype)), tensor.shape


def _type_text(number: int, shape: tuple[int, ...]) -> str:
    names = TensorProto.DataType.items()
    name = next((name.lower() for name, value in names if value == number), f"type {number}")
    return f"{name}[{', '.join(map(str, shape))}]"


def _texts_of(tensor: Expected) -> list[bytes]:
    if isinstance(tensor, StoredTensor):
        return [bytes(one) for one in tensor.head.string_data]
    return [str(one).encode() for one in tensor.flat]


def _chunks_of(tensor: Expected) -> Iterator[memoryview | bytes]:
    if isinstance(tensor, StoredTensor):
        yield tensor.elements()
    else:
        yield from chunks(tensor)


def _differing_texts(expected: list[bytes], found: list[bytes], shape: tuple[int, ...]) -> str:
    if len(expected) != len(found):
        return f"has {len(found)} texts in the file, {len(expected)} in the model"
    wrong = [index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]]
    if not wrong:
        return ""
    values = tuple(shortened(repr(texts[wrong[0]].decode("utf-8", "replace"))) for texts in (found, expected))
    return _sentence(wrong[0], values, len(wrong), shape)


def _differing_bytes(expected: Expected, data: memoryview, found: StoredTensor) -> str:
    start = count = 0
    first: tuple[int, bytes, bytes] | None = None
    itemsize = helper.tensor_dtype_to_np_dtype(found.head.data_type).itemsize
    for chunk in _chunks_of(expected):
        part = data[start : start + len(chunk)]
        if len(part) < len(chunk):
            return f"ends after {len(data):,} bytes in the file"
        if bytearray(chunk) != part:
            a, b = (np.frombuffer(one, np.uint8).reshape(-1, itemsize) for one in (part, chunk))
            wrong = (a != b).any(axis=1)
            if first is None:
                index = int(wrong.argmax())
                first = start // itemsize + index, a[index].tobytes(), b[index].tobytes()
            count += int(wrong.sum())
        start += len(chunk)
    if start < len(data):
        return f"has {len(data):,} bytes in the file, {start:,} in the model"
    if first is None:
        return ""
    return _sentence(first[0], _number_texts(found.head.data_type, *first[1:]), count, found.shape)


def _number_texts(data_type: int, *numbers: bytes) -> tuple[str, ...]:
    """Return numbers as text that tells them apart."""
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    values = [np.frombuffer(number, dtype.newbyteorder("<"))[0] for number in numbers]
    texts = tuple(repr(float(one)) if dtype.itemsize < 4 and _is_float(dtype) else str(one) for one in values)
    if len(set(texts)) == len(texts):
        return texts
    return tuple(f"{text} (0x{number[::-1].hex()})" for text, number in zip(texts, numbers, strict=True))


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fV"  # those of ml_dtypes are V


def _sentence(index: int, values: tuple[str, ...], count: int, shape: tuple[int, ...]) -> str:
    where = f"element {[int(one) for one in np.unravel_index(index, shape)]}" if shape else "it"
    size = int(np.prod(shape, dtype=object))
    of = f"; {count:,} of {size:,} elements differ" if shape else ""
    return f"{where} is {values[0]} in the file, {values[1]} in the model{of}"


def shortened(text: str) -> str:
    """Return a text of a length that fits on a line."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
