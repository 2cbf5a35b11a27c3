"""Tables."""

from __future__ import annotations

from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ops.lookup import Lookup

DOMAIN = "ai.onnx.ml"
VERSION = 2  # the first in which LabelEncoder takes any keys and values; onnxruntime runs it in all later ones


@exports(Lookup)
def lookup(emitter: Emitter, op: Lookup, x: FileTensor) -> Names:
    sides = (("keys", op.keys), ("values", op.values))
    keys, values = (f"{side}_{'strings' if isinstance(items[0], str) else 'int64s'}" for side, items in sides)
    default = "default_string" if isinstance(op.default, str) else "default_int64"
    attributes = {keys: op.keys, values: op.values, default: op.default}
    return emitter.node("LabelEncoder", [x.name], domain=(DOMAIN, VERSION), **attributes)
