"""Nodes that are carried through as they were read."""

from __future__ import annotations

import base64

from onnx import AttributeProto, NodeProto, defs, helper, numpy_helper

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ir.structural import Data
from kir.ops.opaque import Opaque, Setting
from kir.support.onnx_files import rename_values, walk_subgraphs

OLDEST_WRITTEN = 13


@exports(Opaque)
def opaque(emitter: Emitter, op: Opaque, *inputs: FileTensor | None) -> Names:
    """Write the node as it was read; one of ONNX's own operators only where the opset means the same by it."""
    read = NodeProto.FromString(base64.b64decode(op.encoded))
    _require_same_meaning(emitter, op, read)
    used = [place not in op.left_out for place in range(len(op.types))]
    domain = (op.domain, op.version) if op.domain else None
    names = names_of(inputs)
    given, captured = names[: len(names) - op.captured], names[len(names) - op.captured :]
    outputs = emitter.nodes(op.op_type, given, len(op.types), used=used, domain=domain)
    node = emitter.graph.node[-1]
    outer = {f"outer_{number}": name for number, name in enumerate(captured)}
    rename_values(read, lambda name: outer.get(name) or f"{node.name}/{name}")
    node.attribute.extend(_attribute(name, setting) for name, setting in op.settings)
    node.attribute.extend(read.attribute)
    emitter.domains.update((name, version) for name, version in op.imports if name)
    return outputs


def _attribute(name: str, setting: Setting) -> AttributeProto:
    if setting == ():
        return helper.make_attribute(name, (), attr_type=AttributeProto.INTS)
    if isinstance(setting, Data):
        return helper.make_attribute(name, numpy_helper.from_array(setting.array))
    return helper.make_attribute(name, setting)


def _require_same_meaning(emitter: Emitter, op: Opaque, read: NodeProto) -> None:
    """Raise UnsupportedError if the opset defines one of ONNX's own operators otherwise, here or in a subgraph."""
    own = [(op.op_type, op.version)] if not op.domain else []
    opset = dict(op.imports).get("", 0)
    inner = (node.op_type for graph in walk_subgraphs(read) for node in graph.node if node.domain in ("", "ai.onnx"))
    for op_type, version in (*own, *((name, opset) for name in inner)):
        if _version(op_type, emitter.opset) != _version(op_type, version):
            raise UnsupportedError(
                f"ONNX's {op_type} is carried through as opset {version} defines it, and opset {emitter.opset} "
                f"defines it otherwise; {_advice(version)}"
            )


def _advice(version: int) -> str:
    if version < OLDEST_WRITTEN:
        return f"convert the file to opset {OLDEST_WRITTEN} or newer first, with ONNX's version converter"
    return f"leave --opset out, or write that opset (--opset {version})"


def _version(op_type: str, opset: int) -> int:
    """Return the opset that brought the definition of an operator of ONNX's that holds at an opset; 0 if none did."""
    try:
        return int(defs.get_schema(op_type, opset).since_version)
    except defs.SchemaError:
        return 0
