"""The README's commands and generated parts agree with the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.readme import PAGE, README, export_transcript, layer_page, layer_table, mismatch_transcript, with_part

NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]\d+)?")


def test_the_table_of_layers_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_part(text, "table", layer_table()) == text, "run python -m tests.readme"


def test_the_page_of_layers_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == layer_page(), "run python -m tests.readme"


@pytest.mark.parametrize(
    ("part", "transcript"),
    [("export", export_transcript), ("mismatch", mismatch_transcript)],
    ids=["export", "mismatch"],
)
def test_commands_print_what_the_readme_shows_but_for_numbers(part: str, transcript: Callable[[], str]) -> None:
    text = README.read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {part} begins -->\n(.*?)\n<!-- {part} ends -->", text, re.DOTALL)
    assert shown is not None
    assert NUMBER.sub("#", shown[1]).split() == NUMBER.sub("#", transcript()).split(), "run python -m tests.readme"


def test_the_model_of_the_readme_is_built_run_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[-1]
    names: dict[str, Any] = {"__name__": "readme", "array": np.ones((2, 5, 8), np.float32)}
    exec(source, names)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model.onnx"}


def test_the_first_two_blocks_are_the_commands_that_do_the_set_up() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "pip install ." in blocks[0]
    assert "kir export" in blocks[0]
    assert "pytest" in blocks[1]
