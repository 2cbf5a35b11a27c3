"""Tables."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType, as_dtype
from kir.ops.elementwise import Cast
from kir.ops.lookup import Lookup

Items = tuple[int | str, ...]


@imports("ai.onnx.ml.LabelEncoder")
def label_encoder(call: OperatorCall, x: Operand) -> Results:
    """Read a table, from attributes of the kind of its items, or since version 4 from tensors."""
    keys, _ = _read_table(call, "keys")
    values, dtype = _read_table(call, "values")
    found = call.add(Lookup(keys, values, _read_default(call, values[0])), x)
    return found if dtype is found.type.dtype else call.add(Cast(dtype), found)


def _read_table(call: OperatorCall, side: str) -> tuple[Items, DType]:
    texts, integers = call.attributes.texts(f"{side}_strings", ()), call.attributes.integers(f"{side}_int64s", ())
    if texts or integers:
        return texts or integers, DType.STRING if texts else DType.INT64
    array = call.attributes.tensor(f"{side}_tensor", None)
    dtype = None if array is None else as_dtype(array.dtype)
    if dtype is None or not array.size or not (dtype is DType.STRING or dtype.is_integer):
        raise UnsupportedError("kir has LabelEncoder of texts and integers only")
    return tuple(array.ravel().tolist()), dtype


def _read_default(call: OperatorCall, value: int | str) -> int | str:
    array = call.attributes.tensor("default_tensor", None)
    if array is not None and array.size == 1:
        found: int | str = array.item()
        return found
    if isinstance(value, str):
        return str(call.attributes.text("default_string", "_Unused"))
    return int(call.attributes.integer("default_int64", -1))
