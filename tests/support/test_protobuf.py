"""The wire format of protobuf, walked and written without protobuf's own library."""

from __future__ import annotations

import pytest
from onnx import GraphProto, ModelProto, helper

from kir.errors import FormatError
from kir.support.protobuf import (
    DELIMITED,
    BrokenMessageError,
    count_messages,
    field_head,
    field_number,
    parse,
    walk_fields,
)

MODEL = ModelProto(ir_version=300, producer_name="x" * 200, graph=GraphProto(name="g"))


def test_fields_are_where_protobuf_writes_them() -> None:
    data = MODEL.SerializeToString(deterministic=True)
    names = {field.number: field.name for field in ModelProto.DESCRIPTOR.fields}
    found = {names[field.number]: data[field.start : field.end] for field in walk_fields(data, 0, len(data))}
    assert found == {"ir_version": b"\xac\x02", "producer_name": b"x" * 200, "graph": b"\x12\x01g"}


@pytest.mark.parametrize(
    ("data", "position"),
    [(b"\x08", 1), (b"\x08\xff", 1), (b"\x0a\x05ab", 0), (b"\x0d\x00", 0), (b"\x0b\x00", 1), (b"\x02\x00", 0)],
)
def test_a_broken_field_is_named_by_its_place(data: bytes, position: int) -> None:
    with pytest.raises(BrokenMessageError) as caught:
        list(walk_fields(data, 0, len(data)))
    assert caught.value.position == position


def test_a_head_and_its_bytes_are_the_field_that_protobuf_writes() -> None:
    content = b"x" * 200
    written = field_head(ModelProto, "producer_name", len(content)) + content
    assert written == ModelProto(producer_name="x" * 200).SerializeToString()
    assert written[0] == field_number(ModelProto, "producer_name") << 3 | DELIMITED


def test_messages_and_texts_are_counted_at_any_depth_until_there_are_enough() -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="n")], "g", [], [])
    data = ModelProto(graph=graph).SerializeToString()
    # The graph, its name, the node, and the node's input, output, operator and name.
    assert count_messages(data, ModelProto.DESCRIPTOR, 100) == 7
    assert count_messages(data, ModelProto.DESCRIPTOR, 3) == 4
    assert count_messages(data[:-4], ModelProto.DESCRIPTOR, 100) <= 7


def test_what_is_no_message_is_refused() -> None:
    assert parse(MODEL.SerializeToString(), ModelProto, "the model", "an ONNX file") == MODEL
    with pytest.raises(FormatError, match="the model is not an ONNX file"):
        parse(b"\x0a\x05ab", ModelProto, "the model", "an ONNX file")
