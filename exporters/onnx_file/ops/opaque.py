"""Nodes that are carried through as they were read."""

from __future__ import annotations

import base64

from onnx import NodeProto, defs

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, Tensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ops.opaque import Opaque


@exports(Opaque)
def opaque(emitter: Emitter, op: Opaque, *inputs: Tensor | None) -> Names:
    """The node as it was read; one of ONNX's own operators only where the opset means the same by it."""
    if not op.domain and _version(op.op_type, emitter.opset) != _version(op.op_type, op.version):
        raise UnsupportedError(
            f"ONNX's {op.op_type} is carried through as opset {op.version} defines it, and opset {emitter.opset} "
            f"defines it otherwise; write that opset (--opset {op.version})"
        )
    read = NodeProto.FromString(base64.b64decode(op.encoded))
    used = [bool(name) for name in read.output]
    domain = (op.domain, op.version) if op.domain else None
    outputs = emitter.nodes(op.op_type, names_of(inputs), len(op.types), used=used, domain=domain)
    emitter.graph.node[-1].attribute.extend(read.attribute)
    return outputs


def _version(op_type: str, opset: int) -> int:
    """The opset that brought the definition of one of ONNX's own operators that holds at an opset; 0 if none did."""
    try:
        return int(defs.get_schema(op_type, opset).since_version)
    except defs.SchemaError:
        return 0
