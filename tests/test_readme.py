"""The README's commands and generated parts agree with the code."""

from __future__ import annotations

import re

from tests.readme import PAGE, README, export_transcript, layer_page, layer_table, with_part

NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]\d+)?")


def test_the_table_of_layers_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_part(text, "table", layer_table()) == text, "run python -m tests.readme"


def test_the_page_of_layers_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == layer_page(), "run python -m tests.readme"


def test_the_export_prints_what_the_readme_shows_but_for_numbers() -> None:
    shown = re.search(
        r"<!-- export begins -->\n(.*?)\n<!-- export ends -->", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert shown is not None
    assert NUMBER.sub("#", shown[1]).split() == NUMBER.sub("#", export_transcript()).split()


def test_the_first_two_blocks_are_the_commands_that_do_the_set_up() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "pip install ." in blocks[0]
    assert "kir export" in blocks[0]
    assert "pytest" in blocks[1]
