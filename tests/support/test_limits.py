"""The page about limits has them all, as they are."""

from __future__ import annotations

import re
from pathlib import Path

from kir.support import limits

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def test_the_page_lists_every_limit_with_its_value() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: int(value.replace(",", "")) for name, value in rows}
    assert listed == {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
