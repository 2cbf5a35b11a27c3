"""Operators on texts, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ops.meanings.texts import string_normalizer, string_split
from tests.ops.meanings.single_nodes import Array, Numbers, check, has_meaning, texts

f = Numbers()
POOL = {"ngram_counts": [0, 4, 10], "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 5, 6, 7]}


def test_string_concat() -> None:
    check("StringConcat", texts("a", "é", ""), texts("x"), version=20)


@pytest.mark.parametrize(
    "pattern", [r"www.[\w.-]+\.\bcom\b", r"[a-c]+", r"\d{2,3}", r"(?i)AB", r"^a.c$", r"\w+", r"a|ab"]
)
def test_regex_full_match(pattern: str) -> None:
    given = texts("www.google.com", "abc", "12", "1234", "ab", "a\nc", "é", "", "abc\n")
    check("RegexFullMatch", given, pattern=pattern, version=20)


@pytest.mark.parametrize("pattern", [r"\pN", r"[[:alpha:]]", r"(?P<a>x)", r"a++", r"("])
def test_patterns_that_python_reads_otherwise_have_no_meaning(pattern: str) -> None:
    assert not has_meaning("RegexFullMatch", "bool[3]", pattern=pattern)


@pytest.mark.parametrize("delimiter", ["", ",", "ab", None])
@pytest.mark.parametrize("most", [None, 0, 1, 2])
def test_string_split(delimiter: str | None, most: int | None) -> None:
    how = {"delimiter": delimiter, "maxsplit": most, "outputs": 2, "version": 20}
    check("StringSplit", texts("a b  c", " x,y,,z ", "", "abab", "  ", "a,b c", "é b"), **how)
    check("StringSplit", texts("a b", "c").reshape(2, 1), **how)


def test_all_of_asciis_white_space_separates_words() -> None:
    parts, counts = string_split(texts("a\tb\nc", "a\u00a0b"))
    assert parts.tolist() == [["a", "b", "c"], ["a\u00a0b", "", ""]]
    assert counts.tolist() == [3, 1]


def test_string_normalizer() -> None:
    how = {"is_case_sensitive": 1, "stopwords": ["the"], "version": 10}  # what needs no locale of the machine
    check("StringNormalizer", texts("The", "the", "cat"), **how)
    check("StringNormalizer", texts("the").reshape(1, 1), **how)


def test_stop_words_in_any_case() -> None:
    given = texts("The", "the", "Été", "Cat")
    for case, wanted in (("NONE", "Cat"), ("LOWER", "cat"), ("UPPER", "CAT")):
        left = string_normalizer(given, case_change_action=case, stopwords=("THE", "été"))
        assert left.tolist() == [wanted]


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 1, 5])
@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 2), (2, 2), (2, 3), (1, 3)])
def test_tf_idf(mode: str, skips: int, least: int, most: int) -> None:
    how: dict[str, Any] = {"mode": mode, "min_gram_length": least, "max_gram_length": most, "max_skip_count": skips}
    how |= {"ngram_indexes": list(range(8)), "version": 9, **POOL}
    how["weights"] = None if mode == "TF" else [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    given: list[Array] = [np.array([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8]), f.integers(9, 3, 12, dtype=np.int32)]
    for x in given:
        check("TfIdfVectorizer", x, **how)


def test_tf_idf_of_texts() -> None:
    how = {"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "version": 9}
    words = {"ngram_counts": [0, 2], "ngram_indexes": [1, 0, 2], "pool_strings": ["a", "b", "a", "b"]}
    check("TfIdfVectorizer", texts("a", "b", "a", "b", "c"), **how, **words)
