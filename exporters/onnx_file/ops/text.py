"""Texts."""

from __future__ import annotations

import re

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ops.text import ConcatTexts, JoinTexts, LowerCase, SplitText

# Tokenizer, which every build of onnxruntime with its own operators has.
DOMAIN = ("com.microsoft", 1)


@exports(LowerCase)
def lower_case(emitter: Emitter, op: LowerCase, x: FileTensor) -> Names:
    return emitter.node("StringNormalizer", [x.name], case_change_action="LOWER", locale="C")


@exports(SplitText)
def split_text(emitter: Emitter, op: SplitText, x: FileTensor) -> Names:
    """Write the separators as a class of characters of a regular expression; "" stands for none."""
    separators = [f"[{re.escape(op.separators)}]" if op.separators else ""]
    return emitter.node("Tokenizer", [x.name], domain=DOMAIN, mark=0, mincharnum=1, pad_value="", separators=separators)


@exports(ConcatTexts)
def concat_texts(emitter: Emitter, op: ConcatTexts, a: FileTensor, b: FileTensor) -> Names:
    _require_string_concat(emitter)
    return emitter.node("StringConcat", [a.name, b.name])


@exports(JoinTexts)
def join_texts(emitter: Emitter, op: JoinTexts, x: FileTensor) -> Names:
    """Join columns in pairs until one is left: as many rounds as the logarithm of their number. One is always there."""
    _require_string_concat(emitter)
    shape = emitter.sizes((x.type.shape[0], 1))
    empty = emitter.node("Expand", [emitter.constant([[""]], "empty", object), shape])
    start = emitter.node("Concat", [x.name, empty], axis=1)
    joined = emitter.node("Loop", ["", "", start])
    node = emitter.graph.node[-1]
    node.attribute.append(helper.make_attribute("body", _join_pairs(node.name, empty)))
    return emitter.node("Gather", [joined, emitter.constant(0, "first")], axis=1)


def _join_pairs(prefix: str, empty: str) -> GraphProto:
    """Return the body of the loop: columns 0 and 1 of texts, 2 and 3, … as one each; the last one alone if it is odd.

    Args:
        prefix: what its names begin with.
        empty: a column of empty texts outside.
    """
    names = ("round", "goes_on", "x", "padded", "even", "odd", "y", "count", "is_more", "again")
    step, goes_on, x, padded, even, odd, y, count, is_more, again = (f"{prefix}/{name}" for name in names)
    numbers = {"zero": 0, "one": 1, "two": 2, "end": np.iinfo(np.int64).max}
    zero, one, two, end = (f"{prefix}/{name}" for name in numbers)
    nodes = [
        helper.make_node("Concat", [x, empty], [padded], axis=1),
        helper.make_node("Slice", [x, zero, end, one, two], [even]),
        helper.make_node("Slice", [padded, one, end, one, two], [odd]),
        helper.make_node("StringConcat", [even, odd], [y]),
        helper.make_node("Shape", [y], [count], start=1),
        helper.make_node("Greater", [count, one], [is_more]),
        helper.make_node("Squeeze", [is_more], [again]),
    ]
    for node in nodes:
        node.name = node.output[0]
    rows = [f"{prefix}/rows", None]
    return helper.make_graph(
        nodes,
        "join_pairs",
        [
            helper.make_tensor_value_info(step, TensorProto.INT64, []),
            helper.make_tensor_value_info(goes_on, TensorProto.BOOL, []),
            helper.make_tensor_value_info(x, TensorProto.STRING, rows),
        ],
        [
            helper.make_tensor_value_info(again, TensorProto.BOOL, []),
            helper.make_tensor_value_info(y, TensorProto.STRING, rows),
        ],
        [numpy_helper.from_array(np.array([number]), f"{prefix}/{name}") for name, number in numbers.items()],
    )


def _require_string_concat(emitter: Emitter) -> None:
    if emitter.opset < 20:
        raise UnsupportedError(f"texts are joined since opset 20 (StringConcat); received opset {emitter.opset}")
