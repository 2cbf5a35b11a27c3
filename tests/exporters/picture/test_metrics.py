import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.exporters.picture.metrics import BOLD, REGULAR, UNITS, shorten, text_width


def test_the_tables_cover_ascii() -> None:
    assert len(REGULAR) == len(BOLD) == 0x7F - 0x20


@pytest.mark.parametrize(
    ("text", "bold", "units"),
    [("", False, 0), ("M", False, 1767), ("M", True, 2038), ("il", False, 1138), ("→", False, 2048)],
)
def test_widths_are_those_of_dejavu_sans(text: str, bold: bool, units: int) -> None:
    assert text_width(text, 10, bold) == units * 10 / UNITS


@pytest.mark.slow
@given(st.text(max_size=60), st.floats(12, 300), st.booleans())
def test_shortened_text_fits_and_is_a_beginning(text: str, limit: float, bold: bool) -> None:
    short = shorten(text, 10, limit, bold)
    assert text_width(short, 10, bold) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
