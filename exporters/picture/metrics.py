"""How wide text is, without a font: the advance widths of DejaVu Sans.

Source: the `hmtx` tables of DejaVuSans.ttf and DejaVuSans-Bold.ttf, version 2.37, for the characters from U+0020 to
U+007E, in units of 1/2048 of the font size. Helvetica, Arial and Segoe UI are narrower, so text that fits here fits
there too.
"""

from __future__ import annotations

from functools import lru_cache

UNITS = 2048
FIRST = 0x20

_REGULAR = """
651 821 942 1716 1303 1946 1597 563 799 799 1024 1716 651 739 651 690 1303 1303 1303 1303 1303 1303 1303 1303
1303 1303 690 690 1716 1716 1716 1087 2048 1401 1405 1430 1577 1294 1178 1587 1540 604 604 1343 1141 1767 1532
1612 1235 1612 1423 1300 1251 1499 1401 2025 1403 1251 1403 799 690 799 1716 1024 1024 1255 1300 1126 1300
1260 721 1300 1298 569 569 1186 569 1995 1298 1253 1300 1300 842 1067 803 1298 1212 1675 1212 1212 1075 1303
690 1303 1716
"""
_BOLD = """
713 934 1067 1716 1425 2052 1786 627 936 936 1071 1716 778 850 778 748 1425 1425 1425 1425 1425 1425 1425 1425
1425 1425 819 819 1716 1716 1716 1188 2048 1585 1561 1503 1700 1399 1399 1681 1714 762 762 1587 1305 2038 1714
1741 1501 1741 1577 1475 1397 1663 1585 2259 1579 1483 1485 936 748 936 1716 1024 1024 1382 1466 1214 1466
1389 891 1466 1458 702 702 1362 702 2134 1458 1407 1466 1466 1010 1219 979 1458 1335 1892 1321 1335 1192 1458
748 1458 1716
"""
REGULAR = tuple(map(int, _REGULAR.split()))
BOLD = tuple(map(int, _BOLD.split()))

# What the table lacks: Latin, Greek and Cyrillic letters are narrower than an em; ideographs and emoji are about one.
OTHER = 2048


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a line of text, in the unit of `size`; outside ASCII rather too wide than too narrow."""
    return sum([_units(character, bold) for character in text]) * size / UNITS


def shorten(text: str, size: float, limit: float, bold: bool = False) -> str:
    """Return the text, or as much of its beginning as fits into `limit` with an ellipsis."""
    if text_width(text, size, bold) <= limit:
        return text
    room = limit - text_width("…", size, bold)
    for end, character in enumerate(text):
        room -= _units(character, bold) * size / UNITS
        if room < 0:
            return text[:end] + "…"
    return text


def _units(character: str, bold: bool) -> int:
    widths = BOLD if bold else REGULAR
    place = ord(character) - FIRST
    return widths[place] if 0 <= place < len(widths) else OTHER
