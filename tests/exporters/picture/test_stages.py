"""What became of each box from stage to stage."""

import json
from pathlib import Path

import kir
from kir import passes
from kir.exporters.picture import Picture
from kir.exporters.picture.diagram import ADDED, CHANGED, REMOVED, Box, Diagram
from kir.exporters.picture.layers_view import source_lines
from kir.exporters.picture.stages import compare, pipeline_stages
from kir.importers.keras_file import load_keras_model
from kir.importers.script import load_script
from tests.exporters.picture.models import residual

ALL = frozenset({"types", "attributes", "weights"})


def diagram(*boxes: tuple[str, str, object, str]) -> Diagram:
    """Boxes of (title, name, identity, a fact)."""
    made = [
        Box(title, name, "core", [], facts=[("fact", fact)], identity=identity) for title, name, identity, fact in boxes
    ]
    return Diagram("d", made)


NODE = object()


def test_the_same_node_with_the_same_text_is_unchanged() -> None:
    assert compare(diagram(("Dense", "a", NODE, "1")), diagram(("Dense", "a", NODE, "1"))) == ([""], [""])


def test_the_same_node_with_another_text_is_changed() -> None:
    assert compare(diagram(("Dense", "a", NODE, "1")), diagram(("Dense", "a", NODE, "2"))) == ([CHANGED], [CHANGED])


def test_a_new_node_of_the_same_layer_and_operator_is_the_same_box() -> None:
    before = diagram(("Dense", "a", object(), "1"), ("Dense", "a", object(), "2"))
    after = diagram(("Dense", "a", object(), "1"), ("Dense", "a", object(), "3"))
    assert compare(before, after) == (["", CHANGED], ["", CHANGED])


def test_what_has_no_partner_is_added_or_removed() -> None:
    before = diagram(("Relu", "a", object(), "1"), ("Dense", "a", NODE, ""))
    after = diagram(("Dense", "a", NODE, ""), ("Tanh", "a", object(), "1"))
    assert compare(before, after) == ([REMOVED, ""], ["", ADDED])


def test_each_pass_that_changes_something_is_a_stage() -> None:
    graph = residual(2).to_graph()
    text = str(graph)
    stages = pipeline_stages(graph, passes.pipeline(2), ALL)
    assert [stage.title for stage in stages] == ["graph", "strip-inference", "fuse-activations"]
    assert str(graph) == text, "the graph itself is left alone"
    strip = stages[1]
    assert (strip.removed_count, strip.counts()) == (2, {})
    removed = [box.title for box, status in zip(stages[0].diagram.boxes, stages[0].leaving, strict=True) if status]
    assert removed == ["Dropout", "Dropout"]
    fuse = stages[2]
    assert (fuse.removed_count, fuse.counts()) == (3, {CHANGED: 3})


def test_without_passes_there_is_one_stage() -> None:
    assert [stage.title for stage in pipeline_stages(residual(1).to_graph(), (), ALL)] == ["graph"]


def test_boxes_know_the_line_that_called_their_layer() -> None:
    model = load_script(Path(kir.__file__).parent.parent / "models" / "nested.py", None)
    lines = source_lines(model)
    assert lines["encoder/dense"] == "nested.py:8"
    assert lines["encoder"] == "nested.py:17"
    graph = Picture(model).stages[1].diagram
    found = {dict(box.facts).get("source") for box in graph.boxes if box.name.startswith("encoder/dense")}
    assert found == {"nested.py:8"}


def test_a_model_from_a_graph_has_no_lines() -> None:
    [stage] = pipeline_stages(residual(1).to_graph(), (), ALL)
    assert all("source" not in dict(box.facts) for box in stage.diagram.boxes)


def test_a_model_from_a_file_of_keras_has_no_lines(tmp_path: Path) -> None:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "x"}},
        {"class_name": "Dense", "config": {"units": 2, "name": "dense"}},
    ]
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"name": "file", "layers": layers}}))
    assert source_lines(load_keras_model(path)) == {}
