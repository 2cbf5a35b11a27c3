"""Exporting a model: the options are checked before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kir import Input, KirError, Sequential
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
        ("sizes", {"time": 3}, "no size 'time' in .*; its unknown sizes are batch"),
        ("sizes", {"batch": -3}, "received -3"),
        ("sizes", {"batch": "rows"}, "received 'rows'"),
    ],
)
def test_bad_options_are_repeated_and_nothing_is_written(
    tmp_path: Path, option: str, value: Any, expected: str
) -> None:
    model = Sequential([Input((4,)), Dense(2)])
    with pytest.raises(KirError, match=expected):
        model.export(tmp_path / "model.onnx", **{option: value})
    assert list(tmp_path.iterdir()) == []
