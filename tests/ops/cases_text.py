"""Cases of the operators on texts."""

from __future__ import annotations

import string

import numpy as np

from kir.ir.dims import symbol
from kir.ir.types import parse_type
from kir.ops.text import ConcatTexts, JoinTexts, LowerCase, SplitText
from tests.ops.cases import Case

TEXTS = np.array(["The ÉTÉ", "", " \tdon't\nSTOP\v\fstop\r ", "a\u00a0b \u65e5\u672c\u2003\U0001f98a", "a\0Z"], object)
PARTS = np.array([["a", "", "\u00e9"], ["b", "c\0", ""]], object)
SAMPLES = tuple({"n": n, "parts": 2} for n in (1, 5))

TEXT_CASES: list[Case] = [
    Case(LowerCase(), (TEXTS,)),
    Case(LowerCase(), (parse_type("str[n]"),)),
    Case(SplitText(" \t\n\v\f\r", 3), (TEXTS,)),
    Case(SplitText("", 20), (TEXTS,)),
    Case(SplitText(string.punctuation, 2), (TEXTS,)),
    Case(SplitText("[]^-\\", 1), (np.array(["a]", "^-", "\\[b"], object),)),
    Case(SplitText(" ", 0), (np.array(["", " "], object),)),
    Case(SplitText(" ", symbol("parts")), (parse_type("str[n]"),), samples=SAMPLES),
    Case(JoinTexts(), (PARTS,), since=20),
    Case(JoinTexts(), (parse_type("str[n, length]"),), since=20),
    Case(JoinTexts(), (np.array([["a"] * 37, ["b"] * 37], object),), since=20),
    Case(JoinTexts(), (PARTS[:, :0],), since=20),
    Case(JoinTexts(), (PARTS[:0],), since=20),
    Case(ConcatTexts(), (parse_type("str[n, 1]"), parse_type("str[length]")), since=20),
    Case(ConcatTexts(), (PARTS, np.array(["x", "", "\u65e5"], object)), since=20),
]
