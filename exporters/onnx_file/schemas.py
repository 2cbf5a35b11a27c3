"""The element types that ONNX's operators take at an opset, from the schemas that onnx holds.

https://onnx.ai/onnx/operators: the list of types of an operator grows from version to version.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from onnx import NodeProto, defs

from kir.exporters.onnx_file.emitter import onnx_dtype
from kir.ir.types import NARROW, DType
from kir.ops.onnx_forms import DTYPES
from kir.support.caching import cached

_DTYPES = {f"tensor({name})": dtype for name, dtype in DTYPES.items()}
# Operators on others are no concern of schemas: conversions alone take them.
_BY_NUMBER = {onnx_dtype(dtype): dtype for dtype in DType if dtype not in NARROW}

# Attributes that say the element type of the result, where no input does.
TYPE_ATTRIBUTES = ("to", "dtype")

# At opset 18 onnxruntime (1.32 is the newest known) computes these of floats of 16 bits by the formula that the ONNX
# standard has for them, whose exponentials overflow: from 11.1 on Softplus would be infinite in float16.
OVERFLOWING = frozenset({("ReduceLogSumExp", 18), ("Softplus", 18)})


@dataclass(frozen=True)
class Signature:
    """The types of an operator's inputs and outputs, each a variable such as "T", or text such as "tensor(int64)".

    `taken` has, for each of them, the types that it can be. The last input and output stand for all that follow.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    taken: dict[str, frozenset[DType]]


@cached
def signature(op_type: str, opset: int) -> Signature:
    """Return the signature of one of ONNX's own operators at an opset."""
    schema = defs.get_schema(op_type, opset)
    inputs, outputs = (tuple(one.type_str for one in given) for given in (schema.inputs, schema.outputs))
    listed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
    return Signature(
        inputs,
        outputs,
        {
            text: frozenset(_DTYPES[allowed] for allowed in listed.get(text, [text]) if allowed in _DTYPES)
            for text in (*inputs, *outputs)
        },
    )


def find_refused(
    nodes: Iterable[NodeProto], dtypes: MutableMapping[str, DType], opset: int
) -> tuple[str, DType] | None:
    """Return the first operator that does not take an element type that it is given, with that type; None if all do.

    Operators of other domains take anything. Those of `OVERFLOWING` count as if they did not take 16 bits.

    Args:
        nodes: in order.
        dtypes: of the values that are known; those of what the nodes compute are added.
        opset: of ONNX's own operators.
    """
    for node in nodes:
        if node.domain:
            continue
        known = signature(node.op_type, opset)
        bound = {}
        for index, name in enumerate(node.input):
            if name in dtypes:
                text = known.inputs[min(index, len(known.inputs) - 1)]
                bound[text] = dtypes[name]
                overflows = dtypes[name].itemsize == 2 and (node.op_type, opset) in OVERFLOWING
                if overflows or dtypes[name] not in known.taken[text]:
                    return node.op_type, dtypes[name]
        for index, name in enumerate(node.output):
            text = known.outputs[min(index, len(known.outputs) - 1)]
            dtype = _DTYPES.get(text) or bound.get(text) or _stated(node)
            if name and dtype is not None:
                dtypes[name] = dtype
                if dtype not in known.taken[text]:
                    return node.op_type, dtype
    return None


def _stated(node: NodeProto) -> DType | None:
    for attribute in node.attribute:
        if attribute.name in TYPE_ATTRIBUTES:
            return _BY_NUMBER.get(attribute.i)
        if attribute.name == "value":
            return _BY_NUMBER.get(attribute.t.data_type)
    return None
