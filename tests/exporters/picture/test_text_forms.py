"""DOT and Mermaid: complete, and no name can say anything but itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.errors import InvalidArgumentError
from kir.exporters.picture import Picture
from kir.exporters.picture.dot import quote
from kir.exporters.picture.mermaid import escape
from tests.exporters.picture.models import controlled, hostile_model, nested, residual

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def test_dot_has_every_box_and_link() -> None:
    picture = Picture(residual(2))
    [diagram] = picture.diagrams
    lines = picture.dot().splitlines()
    assert lines[0] == 'digraph "residual" {'
    assert lines[-1] == "}"
    assert sum(line.startswith("n") and " -> " not in line and "node" not in line for line in lines) == len(
        diagram.boxes
    )
    assert sum(" -> " in line for line in lines) == len(diagram.links)
    assert 'n0 -> n1 [label="f32[batch, 8]"];' in lines


def test_dot_draws_nested_models_as_clusters() -> None:
    text = Picture(nested(), expand_nested=True).dot()
    assert text.count("subgraph cluster_") == 6
    assert text.count("{") == text.count("}")
    assert 'n0 -> n1 [label="f32[batch, 4]", lhead=cluster_n1];' in text


def test_graphs_inside_operators_are_clusters_and_subgraphs() -> None:
    picture = Picture(controlled())
    dot = picture.dot()
    assert dot.count("subgraph cluster_") == 4
    assert dot.count("{") == dot.count("}")
    assert 'n0 -> n1 [label="f32[3]", lhead=cluster_n1];' in dot
    lines = picture.mermaid().splitlines()
    assert sum(line.startswith("subgraph ") for line in lines) == lines.count("end") == 4


@given(st.text())
def test_a_quoted_name_is_one_token(text: str) -> None:
    quoted = quote(text)
    match = QUOTED.fullmatch(quoted)
    assert match is not None
    content = match[1]
    assert not re.search(r"\\[^\\\"n]", content.replace("\\\\", "")), "no other escape, which Graphviz would interpret"
    assert "&" not in content.replace("&amp;", "")
    assert "\n" not in quoted


def test_dot_of_hostile_names_is_still_three_boxes() -> None:
    outside = QUOTED.sub("", Picture(hostile_model()).dot())
    assert len(re.findall(r"^n\d+ \[", outside, re.MULTILINE)) == 3
    assert "<" not in outside


def test_mermaid_has_every_box_and_link() -> None:
    picture = Picture(residual(1), direction="LR")
    lines = picture.mermaid().splitlines()
    assert lines[0] == "flowchart LR"
    assert 'n0["Input x"]:::c475569' in lines
    assert 'n0 -->|"f32[batch, 8]"| n1' in lines
    [diagram] = picture.diagrams
    assert sum("-->" in line for line in lines) == len(diagram.links)
    assert sum(bool(re.match(r"n\d+\[", line)) for line in lines) == len(diagram.boxes)


def test_mermaid_draws_nested_models_as_subgraphs() -> None:
    lines = Picture(nested(), expand_nested=True).mermaid().splitlines()
    assert sum(line.startswith("subgraph ") for line in lines) == lines.count("end") == 6


@given(st.text())
def test_mermaid_text_has_no_character_with_a_meaning(text: str) -> None:
    escaped = escape(text)
    assert re.fullmatch(r"(?:[\w ,.:=+()\[\]/]|#\d+;)*", escaped, re.ASCII)
    assert re.sub(r"#(\d+);", lambda code: chr(int(code[1])), escaped) == text


@pytest.mark.parametrize("form", ["dot", "mermaid"])
def test_before_and_after_are_for_pictures(form: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot show before and after side by side"):
        getattr(Picture(residual(1), before_after=True), form)()
