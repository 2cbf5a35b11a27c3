"""Exporting a model: the options are checked before anything is done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, KirError, Sequential
from kir.errors import FormatError, MismatchError
from kir.exporters import pipeline
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, SourceFile, export_model, export_reference
from kir.importers.onnx_file import import_graph
from kir.layers import Dense


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("opset", "new", "received opset='new'"),
        ("level", "all", "received level='all'"),
        ("level", 7, "level 7"),
        ("seed", -1, "received seed=-1"),
        ("verify", "no", "received verify='no'"),
        ("external_data", "maybe", "'maybe'"),
        ("provider", 3, "received provider=3"),
        ("metadata", {"version": 2}, "received metadata={'version': 2}"),
        ("metadata", ["version"], r"received metadata=\['version'\]"),
        ("passes", ["simplify"], r"text such as .*; received \['simplify'\]"),
        ("batch", 0, "batch must be an integer of at least 1; received 0"),
        ("input_shapes", {"time": (3, 4)}, "there is no input 'time'"),
        (
            "sizes",
            {"batch": 3},
            "export has no option sizes; it has weights, .*, batch, input_shapes, opset, .*, strict",
        ),
    ],
)
def test_bad_options_are_repeated_and_nothing_is_written(
    tmp_path: Path, option: str, value: Any, expected: str
) -> None:
    model = Sequential([Input((4,)), Dense(2)])
    with pytest.raises(KirError, match=expected):
        model.export(tmp_path / "model.onnx", **{option: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"time": 3}, "no size 'time' in .*; its unknown sizes are batch"),
        ({"batch": -3}, "received -3"),
        ({"batch": "rows"}, "received 'rows'"),
    ],
)
def test_bad_sizes_are_repeated(tmp_path: Path, sizes: Any, expected: str) -> None:
    with pytest.raises(KirError, match=expected):
        export_model(Sequential([Input((4,)), Dense(2)]), tmp_path / "model.onnx", ExportOptions(sizes=sizes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("external_data", ["yes", "no"])
def test_a_file_takes_the_place_of_the_one_that_is_read(tmp_path: Path, external_data: str) -> None:
    """The weights of the old file are mapped from disk while the new one is written."""
    path = tmp_path / "model.onnx"
    model = Sequential([Input((40,), name="x"), Dense(40, name="y", kernel_initializer="glorot_uniform")])
    model.export(path, external_data="yes")
    feeds = {"x": np.ones((1, 40), np.float32)}
    expected = run_session(make_session(path), feeds)["y"]
    for _ in range(2):
        result = export_reference(
            import_graph(path), path, ExportOptions(external_data=external_data), source=SourceFile(path)
        )
        np.testing.assert_array_equal(run_session(make_session(path), feeds)["y"], expected)
        assert set(tmp_path.iterdir()) == {file for file in (path, result.file.data_path) if file}


def test_data_beside_a_file_behind_a_link_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.onnx").symlink_to(Path("real", "model.onnx"))
    model = Sequential([Input((40,)), Dense(40)])
    with pytest.warns(UserWarning, match=re.escape(f"load {tmp_path / 'real' / 'model.onnx'}")):
        result = model.export(tmp_path / "link.onnx", external_data="yes")
    assert (result.file.path, result.file.data_path.parent) == (tmp_path / "link.onnx", tmp_path / "real")
    make_session(tmp_path / "real" / "model.onnx")


def test_a_target_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pipeline, "lower")
    with pytest.raises(FormatError, match="there is no folder"):
        Sequential([Input((4,)), Dense(2)]).export(tmp_path / "absent" / "model.onnx")


def test_a_mismatch_speaks_of_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(reference: Any, graph: Any, written: Any, *others: Any) -> None:
        raise MismatchError(f"{written.path} differs")

    monkeypatch.setattr(pipeline, "_verify", fail)
    with pytest.raises(MismatchError, match=re.escape(f"{tmp_path / 'model.onnx'} differs")):
        Sequential([Input((4,)), Dense(2)]).export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_single_node_is_told_of_as_one(tmp_path: Path) -> None:
    export = export_model(Sequential([Input((3,)), Dense(2)]), tmp_path / "m.onnx", ExportOptions(verify=False))
    assert str(export).startswith(f"{tmp_path / 'm.onnx'}: 1 node, opset ")
