"""Operators on texts: what the table of cases cannot say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from kir.errors import ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session
from kir.importers.onnx_file import import_graph
from kir.importers.onnx_file.reading import read_tensor
from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.ir.types import parse_type
from kir.ops.text import ConcatTexts, JoinTexts, LowerCase, SplitText

ALL = "".join(map(chr, range(1, 0x250)))


def file_of(op: Any, size: int = 3) -> Any:
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"str[{size}]"))).output
    graph.add(Output("y"), graph.add(op, x).output)
    return to_model_proto(graph)


@pytest.mark.parametrize(
    ("op", "given"),
    [
        (LowerCase(), ["f32[2]"]),
        (LowerCase(), ["str[2, 1]"]),
        (SplitText(" ", 2), ["str[2, 1]"]),
        (JoinTexts(), ["str[2]"]),
        (ConcatTexts(), ["str[2]", "i64[2]"]),
    ],
)
def test_what_is_no_text_of_that_rank_is_refused(op: Any, given: list[str]) -> None:
    with pytest.raises(ShapeError, match="needs texts"):
        op.infer(*map(parse_type, given))


def test_all_characters_are_separators_and_letters_like_any() -> None:
    """In the interpreter and in onnxruntime, which takes a regular expression."""
    texts = np.array(
        [ALL, ALL[::-1], "a" + "a".join("".join(p) for p in zip(ALL[::2], ALL[1::2], strict=False))], object
    )
    for op in (LowerCase(), SplitText(ALL[:200:3], 0), SplitText("", 0)):
        wanted = op.eval(texts)
        (found,) = make_session(file_of(op).SerializeToString()).run({"x": texts}).values()
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "attributes",
    [
        {"separators": ["ab"]},
        {"separators": ["[a-z]"]},
        {"separators": ["[^a]"]},
        {"separators": [r"[\w]"]},
        {"separators": ["a", "b"]},
        {"separators": [" "], "mincharnum": 2},
        {"separators": [" "], "pad_value": "#"},
        {"separators": [""], "mark": 1},
        {"tokenexp": "a+"},
    ],
)
def test_other_ways_to_take_texts_apart_are_not_taken_for_separators(attributes: dict[str, Any]) -> None:
    file = file_of(SplitText(" ", 3))
    (node,) = file.graph.node
    given = {"mark": 0, "mincharnum": 1, "pad_value": ""} | attributes
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in given.items())
    with pytest.raises(UnsupportedError, match="Tokenizer for separators"):
        import_graph(file, strict=True)


def test_other_locales_and_stop_words_are_not_taken_for_lower_case() -> None:
    for change in ({"locale": "en_US"}, {"case_change_action": "UPPER"}, {"stopwords": ["a"]}):
        file = file_of(LowerCase())
        (node,) = file.graph.node
        attributes = {"case_change_action": "LOWER", "locale": "C"} | change
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is carried through
            assert not import_graph(file).has_any(LowerCase)


def test_a_zero_at_the_end_of_a_text_in_a_file_stays() -> None:
    tensor = TensorProto(data_type=TensorProto.STRING, dims=[2], string_data=[b"a\0", b"\0"])
    assert read_tensor(tensor, None).tolist() == ["a\0", "\0"]
