"""Operators on texts, and those that count words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.table import means


def _each(function: Callable[..., object], *arrays: Array) -> Array:
    """Return the results of a function on texts, as an array of texts."""
    parts = np.broadcast_arrays(*arrays)
    result = np.empty(parts[0].size, object)
    result[:] = [function(*items) for items in zip(*(part.ravel().tolist() for part in parts), strict=True)]
    return result.reshape(parts[0].shape)


@means("StringConcat", exact=True)
def string_concat(a: Array, b: Array) -> Array:
    """Return the first text followed by the second."""
    return _each(lambda x, y: x + y, a, b)


def _is_pattern_of_python(settings: Mapping[str, Any], types: object) -> bool:
    """Return whether Python takes a pattern, and means by it what RE2 does."""
    pattern = settings["pattern"]
    try:
        re.compile(pattern)
    except re.error:
        return False
    return not re.search(r"\\[pPCQEzZ]|\[\[:|\(\?[^:ims]|[*+?}]\+", pattern)


@means("RegexFullMatch", exact=True, when=_is_pattern_of_python)
def regex_full_match(x: Array, *, pattern: str) -> Array:
    """Return whether all of a text matches a pattern of RE2, as far as Python's patterns mean the same."""
    wanted = re.compile(pattern, re.ASCII)
    return _each(lambda text: wanted.fullmatch(text) is not None, x).astype(bool)


@means("StringSplit", exact=True)
def string_split(x: Array, *, delimiter: str = "", maxsplit: int | None = None) -> tuple[Array, Array]:
    """Return the parts of texts between delimiters (or white space), filled up with "", and how many there are."""
    parts = [_split(text, delimiter, maxsplit) for text in x.ravel().tolist()]
    most = max(map(len, parts), default=0)
    result = np.full((len(parts), most), "", object)
    for row, own in enumerate(parts):
        result[row, : len(own)] = own
    counts = np.array([len(own) for own in parts], np.int64)
    return result.reshape(*x.shape, most), counts.reshape(x.shape)


SPACES = " \t\n\v\f\r"


def _split(text: str, delimiter: str, most: int | None) -> list[str]:
    """Return the parts of a text; an empty one has none."""
    if delimiter:
        return text.split(delimiter, -1 if most is None else most) if text else []
    # Python's own words end at white space of all scripts.
    stripped = text.strip(SPACES)
    words = [stripped] if most == 0 else re.split(f"[{SPACES}]+", stripped, maxsplit=most or 0)
    return words if stripped else []


@means("StringNormalizer", exact=True)
def string_normalizer(
    x: Array,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    stopwords: tuple[str, ...] = (),
    locale: str = "",
) -> Array:
    """Return the texts [C] or [1, C] that are no stop words, in lower or upper case; one empty text if none is left."""
    changes: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": lambda text: text}
    change = changes[case_change_action]
    if is_case_sensitive:
        left = [text for text in x.ravel().tolist() if text not in set(stopwords)]
    else:
        fold = str.upper if case_change_action == "UPPER" else str.lower
        stopped = {fold(word) for word in stopwords}
        left = [text for text in x.ravel().tolist() if fold(text) not in stopped]
    changed = np.array([change(text) for text in left] or [""], object)
    return changed.reshape(1, -1) if x.ndim == 2 else changed


@means("TfIdfVectorizer")
def tf_idf_vectorizer(
    x: Array,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: tuple[int, ...],
    ngram_indexes: tuple[int, ...],
    pool_int64s: tuple[int, ...] = (),
    pool_strings: tuple[str, ...] = (),
    weights: tuple[float, ...] = (),
) -> Array:
    """Return how often n-grams of a pool occur in each row, also with gaps of one size; weighted, or 1 for once."""
    pool = pool_strings or pool_int64s
    columns: dict[tuple[object, ...], int] = {}
    ends = (*ngram_counts[1:], len(pool))
    for length, (start, end) in enumerate(zip(ngram_counts, ends, strict=True), start=1):
        for place in range(start, end, length):
            columns.setdefault(tuple(pool[place : place + length]), len(columns))
    width = max(ngram_indexes) + 1
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    counts = np.zeros((len(rows), width), np.int64)
    factors = np.zeros(width)
    for number, index in enumerate(ngram_indexes):
        factors[index] = weights[number] if weights else 1
    for row, items in enumerate(rows.tolist()):
        for gram in _grams(items, min_gram_length, max_gram_length, max_skip_count):
            if gram in columns:
                counts[row, ngram_indexes[columns[gram]]] += 1
    if mode != "TF":
        counts = np.minimum(counts, 1) if mode == "IDF" else counts
        result = counts * factors
    else:
        result = counts.astype(np.float64)
    return result.astype(np.float32).reshape(*x.shape[:-1], width)


def _grams(items: list[object], least: int, most: int, skips: int) -> list[tuple[object, ...]]:
    """Return the n-grams of consecutive items, and of those that have equal gaps between them."""
    found = []
    for skip in range(skips + 1):
        for length in range(least, most + 1):
            if length == 1 and skip:
                continue  # no gap in a single item
            reach = (length - 1) * (skip + 1)
            found += [tuple(items[i : i + reach + 1 : skip + 1]) for i in range(len(items) - reach)]
    return found
