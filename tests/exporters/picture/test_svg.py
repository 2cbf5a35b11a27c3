"""Every box and link is in the file, every text is text, and the same picture is the same bytes."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kir
from kir import Model
from kir.errors import InvalidArgumentError
from kir.exporters.picture import Picture
from kir.exporters.picture.diagram import Box, Diagram, Line, join_links
from kir.exporters.picture.palette import COLOURS, OTHER, STATUS
from kir.exporters.picture.scene import Scene, make_scene
from kir.exporters.picture.stages import compare
from kir.exporters.picture.svg import escape, write_svg
from kir.importers.script import load_script
from kir.ir import structural
from kir.ir.graph import Graph
from kir.ir.types import type_of
from kir.ops import elementwise
from tests.exporters.picture.models import (
    HOSTILE,
    arc_lists,
    controlled,
    hostile_graph,
    hostile_model,
    nested,
    residual,
)

SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(kir.__file__).parent.parent
EXAMPLES = sorted(path.stem for path in (ROOT / "models").glob("*.py"))


def elements(svg: str, tag: str, kind: str | None = None) -> list[Any]:
    found = ET.fromstring(svg).iter(f"{SVG}{tag}")
    return [element for element in found if kind is None or kind in (element.get("class") or "").split()]


def texts(svg: str, kind: str) -> list[str]:
    return ["".join(element.itertext()) for element in elements(svg, "text", kind)]


def example(name: str) -> Model:
    return load_script(ROOT / "models" / f"{name}.py", None)


@pytest.mark.parametrize("view", ["layers", "ops"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_box_and_link_of_the_examples_is_drawn(name: str, view: str) -> None:
    picture = Picture(example(name), view=view)
    [diagram] = picture.diagrams
    svg = picture.svg()
    assert sorted(texts(svg, "class")) == sorted(box.title for box in diagram.boxes)
    assert len(elements(svg, "rect", "frame")) == len(diagram.boxes)
    assert len(elements(svg, "path", "link")) == len(diagram.links)


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    count, arcs = draw(arc_lists(max_vertices=15))
    any_text = st.text(max_size=30)
    boxes = [
        Box(
            draw(any_text),
            draw(any_text),
            draw(st.sampled_from([*COLOURS, "new"])),
            draw(st.lists(any_text, min_size=3, max_size=3)),
        )
        for _ in range(count)
    ]
    for box in boxes:
        box.lines = [Line(*pair) for pair in draw(st.lists(st.tuples(any_text, any_text), max_size=12))]
    return Diagram(draw(any_text), boxes, join_links([(s, p, t, 0) for s, t, p in arcs]), draw(st.booleans()))


@given(diagrams(), st.sampled_from(["TB", "LR"]))
def test_any_diagram_is_well_formed_and_complete(diagram: Diagram, direction: str) -> None:
    svg = write_svg(make_scene(diagram, direction))
    assert len(elements(svg, "rect", "frame")) == len(diagram.boxes)
    assert len(elements(svg, "path", "link")) == len(diagram.links)
    named = ["".join(group.find(f"{SVG}title").itertext()) for group in elements(svg, "g")]
    expected = [
        ET.fromstring(f"<t>{escape(f'{box.title} {box.name}'.strip())}</t>").text or "" for box in diagram.boxes
    ]
    assert named == expected


@given(diagrams(), st.sampled_from(["TB", "LR"]))
def test_placed_boxes_and_labels_keep_apart(diagram: Diagram, direction: str) -> None:
    scene = make_scene(diagram, direction)
    for index, a in enumerate(scene.boxes):
        assert 0 <= a.x <= a.x + a.width <= scene.width
        assert 0 <= a.y <= a.y + a.height <= scene.height
        for b in scene.boxes[:index]:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert apart
    assert_links_meet_no_foreign_box(scene)


def assert_links_meet_no_foreign_box(scene: Scene) -> None:
    for link in scene.links:
        for (x0, y0), (x1, y1) in pairwise(link.points):
            for index, box in enumerate(scene.boxes):
                if index not in (link.source, link.target) and not _is_inside(scene, link.source, index):
                    beside = max(x0, x1) <= box.x or min(x0, x1) >= box.x + box.width
                    above = max(y0, y1) <= box.y or min(y0, y1) >= box.y + box.height
                    assert beside or above


def _is_inside(scene: Scene, inner: int, outer: int) -> bool:
    a, b = scene.boxes[inner], scene.boxes[outer]
    inside = b.x <= a.x and b.y <= a.y and a.x + a.width <= b.x + b.width and a.y + a.height <= b.y + b.height
    return b.box.inner is not None and inside


def test_names_are_text_and_not_markup() -> None:
    for subject in (hostile_model(), hostile_graph()):
        svg = Picture(subject).svg()
        assert elements(svg, "script") == []
        tooltips = ["".join(element.itertext()) for element in elements(svg, "title")]
        assert HOSTILE.replace("\x00", "\ufffd") in [text.partition(" ")[2] for text in tooltips]


def test_nested_models_are_drawn_inside_their_boxes() -> None:
    scene = make_scene(Picture(nested(), expand_nested=True).diagrams[0])
    outer = [box for box in scene.boxes if box.box.inner is not None]
    assert [box.title for box in outer].count("Model") == 6  # three of `wrapped`, each with a `core`
    assert [box.depth for box in outer].count(1) == 3
    for index, box in enumerate(scene.boxes):
        if box.depth:
            assert any(_is_inside(scene, index, place) for place in range(index))
    assert_links_meet_no_foreign_box(scene)
    assert len(elements(write_svg(scene), "rect", "nest")) == 6


def test_graphs_inside_operators_are_drawn_inside_their_boxes() -> None:
    scene = make_scene(Picture(controlled()).diagrams[0])
    outer = [box.title for box in scene.boxes if box.box.inner is not None]
    assert outer == ["Loop", "If", "then_branch", "else_branch"]
    for index, box in enumerate(scene.boxes):
        if box.depth:
            assert any(_is_inside(scene, index, place) for place in range(index))
    assert_links_meet_no_foreign_box(scene)
    assert len(elements(write_svg(scene), "rect", "nest")) == 4


def test_a_pass_that_changes_a_graph_inside_changes_the_box() -> None:
    before, after = (Picture(controlled()).diagrams[0] for _ in range(2))
    assert set(compare(before, after)[1]) == {""}
    loop = next(box for box in after.boxes if box.inner is not None)
    assert loop.inner is not None
    loop.inner.boxes[-2].title = "Elu"
    assert compare(before, after)[1].count("changed") == 1


def test_without_expansion_a_nested_model_is_one_box() -> None:
    [diagram] = Picture(nested()).diagrams
    assert [box.title for box in diagram.boxes] == ["Input", "Model", "Model", "Model", "Concatenate", "Output"]
    assert ("shared", "call 2 of 3") in [(line.key, line.value) for line in diagram.boxes[2].lines]


def test_the_same_model_is_the_same_bytes() -> None:
    for view in ("layers", "ops"):
        assert Picture(example("speech"), view=view).svg() == Picture(example("speech"), view=view).svg()


def test_before_and_after_stand_side_by_side_with_what_changed() -> None:
    picture = Picture(residual(1), before_after=True)
    svg = picture.svg()
    before, after = picture.diagrams
    assert [box.title for box in before.boxes if box.status == "removed"] == ["Relu", "Softmax", "Dropout"] or {
        box.title for box in before.boxes if box.status == "removed"
    } == {"Relu", "Softmax", "Dropout"}
    assert [box.name for box in after.boxes if box.status == "changed"] == ["first_0", "classes"]
    assert texts(svg, "title") == ["before the passes", "after the passes"]
    assert len(elements(svg, "circle", "badge")) == sum(box.status != "" for box in (*before.boxes, *after.boxes))


@pytest.mark.parametrize(
    ("show", "labels", "keys"),
    [
        ("types,attributes,weights", 3, {"units", "activation", "kernel", "bias"}),
        ("types", 3, set()),
        ("weights", 0, {"kernel", "bias"}),
        ("attributes", 0, {"units", "activation"}),
        ("none", 0, set()),
    ],
)
def test_what_is_shown_can_be_chosen(show: str, labels: int, keys: set[str]) -> None:
    x = kir.Input(shape=(3,), name="x")
    from kir.layers import Dense

    y = Dense(4, activation="relu", name="first")(x)
    svg = Picture(Model(x, Dense(2, activation="tanh", name="second")(y)), show=show).svg()
    assert len(elements(svg, "text", "label")) == labels
    assert set(texts(svg, "key")) == keys


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (np.float32(1e-6), "1e-06"),
        (np.array([1, 2], np.int64), "[1, 2]"),
        (np.array([[0.5], [2.0]], np.float32), "[[0.5], [2.0]]"),
        (np.zeros(5, np.float32), "f32[5]"),
    ],
)
def test_small_constants_show_their_numbers(array: Any, shown: str) -> None:
    graph = Graph()
    x = graph.add(structural.Input("x", type_of(np.asarray(array)))).output
    graph.add(
        structural.Output("y"), graph.add(elementwise.Add(), x, graph.add(structural.constant(array)).output).output
    )
    assert texts(Picture(graph).svg(), "weight") == [shown]


def test_unknown_sizes_stand_by_their_names() -> None:
    assert "f32[batch, frames_1, 20]" in texts(Picture(example("speech")).svg(), "label")


def test_from_left_to_right_the_inputs_are_left() -> None:
    boxes = make_scene(Picture(residual(2)).diagrams[0], "LR").boxes
    assert boxes[0].box.title == "Input"
    assert all(boxes[0].x <= box.x for box in boxes)
    assert max(box.x for box in boxes) > 4 * max(box.y for box in boxes)


def contrast_to_white(colour: str) -> float:
    """WCAG 2.2: the relative luminance of white against that of the colour."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("colour", sorted({*COLOURS.values(), OTHER}))
def test_white_text_can_be_read_on_every_colour(colour: str) -> None:
    assert contrast_to_white(colour) >= 4.5


def test_dark_and_light_differ_in_the_style_sheet_alone() -> None:
    scene = Picture(residual(1)).scene
    both, light = write_svg(scene), write_svg(scene, themes="light")
    assert "prefers-color-scheme:dark" in both
    assert "@media" not in light
    assert both.partition("</style>")[2] == light.partition("</style>")[2]


def test_every_status_has_its_own_sign() -> None:
    signs = [sign for _, sign in STATUS.values()]
    assert len(set(signs)) == len(signs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "trees"}, "view='trees' is unknown; expected layers or ops"),
        ({"direction": "up"}, "direction='up' is unknown; expected TB or LR"),
        ({"show": "types,colours"}, "cannot show 'colours'; expected some of types, attributes, weights, or none"),
        ({"view": "layers", "before_after": True}, "need view='ops'"),
        ({"level": 7}, "optimization level 7 is unknown"),
        ({"passes": "nothing"}, "unknown pass 'nothing'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message.replace("(", r"\(")):
        Picture(residual(1), **options)


def test_a_graph_has_no_layers() -> None:
    with pytest.raises(InvalidArgumentError, match="has no layers to show; expected view='ops'"):
        Picture(hostile_graph(), view="layers")


def test_only_models_and_graphs_can_be_drawn() -> None:
    with pytest.raises(InvalidArgumentError, match=r"only a kir.Model or a kir.Graph can be drawn; received 3"):
        Picture(3)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(st.text())
def test_escaped_text_is_read_back(text: str) -> None:
    read = ET.fromstring(f"<t a='{escape(text)}'>{escape(text)}</t>")
    assert (read.text or "").replace("\n", "\r") == "".join(
        "\ufffd" if (ord(c) < 32 and c not in "\t\n\r") or c in "\x7f\ufffe\uffff" else c for c in text
    ).replace("\n", "\r")
