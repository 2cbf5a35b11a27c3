"""ONNX's types as text, there and back."""

from __future__ import annotations

import pytest
from onnx import TypeProto, helper

from kir.errors import FormatError
from kir.support.onnx_types import TYPE_TEXT, UNKNOWN, fill_type, type_text

TEXTS = (
    "tensor(float)",
    "tensor(float8e4m3fn)[2,n,?]",
    "tensor(int4)[]",
    "seq(map(int64,tensor(float)))",
    "optional(seq(tensor(string)[?]))",
    "sparse_tensor(double)[3,4]",
    "map(string,tensor(int64)[])",
    UNKNOWN,
)


@pytest.mark.parametrize("text", TEXTS)
def test_types_come_back(text: str) -> None:
    proto = TypeProto()
    fill_type(proto, text)
    assert type_text(proto) == text
    assert TYPE_TEXT.fullmatch(text)


def test_sizes_without_a_plain_name_are_left_out() -> None:
    assert type_text(helper.make_tensor_type_proto(1, ["a,b", "2*n", None, -1])) == "tensor(float)[?,?,?,?]"


@pytest.mark.parametrize("text", ["", "tensor(f32)", "seq(tensor(float))[2]", "map(float)", "seq(" * 40 + ")" * 40])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="no type of ONNX"):
        fill_type(TypeProto(), text)
