"""Tables."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Call, Operand
from kir.ops.lookup import Lookup


@imports("ai.onnx.ml.LabelEncoder")
def label_encoder(call: Call, x: Operand) -> Results:
    keys = _read_table(call, "keys")
    values = _read_table(call, "values")
    if isinstance(values[0], str):
        default = call.attributes.text("default_string", "_Unused")
    else:
        default = call.attributes.integer("default_int64", -1)
    return call.add(Lookup(keys, values, default), x)


def _read_table(call: Call, side: str) -> tuple[int | str, ...]:
    texts, integers = call.attributes.texts(f"{side}_strings", None), call.attributes.integers(f"{side}_int64s", None)
    found: tuple[int | str, ...] = texts or integers or ()
    if not found:
        raise UnsupportedError("kir has LabelEncoder with the attributes of strings and int64s only")
    return found
