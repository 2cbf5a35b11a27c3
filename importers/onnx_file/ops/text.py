"""Texts."""

from __future__ import annotations

import re

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.text import ConcatTexts, LowerCase, SplitText

# A class of characters that are escaped or mean nothing to a regular expression.
_CLASS = re.compile(r"\[((?:\\[^\w]|[^\\\]\[^&~|-])+)\]", re.DOTALL)


@imports("StringConcat")
def string_concat(call: OperatorCall, a: Operand, b: Operand) -> Results:
    return call.add(ConcatTexts(), a, b)


@imports("StringNormalizer")
def string_normalizer(call: OperatorCall, x: Operand) -> Results:
    """Read what makes A to Z small: other locales know more letters, and stop words are left out."""
    action, locale = call.attributes.text("case_change_action", "NONE"), call.attributes.text("locale", "en_US")
    call.attributes.integer("is_case_sensitive", 0)
    if action != "LOWER" or locale != "C" or call.attributes.texts("stopwords", ()) or x.type.rank != 1:
        raise UnsupportedError('kir has StringNormalizer for LOWER in the locale "C" only, of texts [n]')
    return call.add(LowerCase(), x)


@imports("com.microsoft.Tokenizer")
def tokenizer(call: OperatorCall, x: Operand) -> Results:
    """Read what takes texts apart at single characters."""
    separators = call.attributes.texts("separators", ())
    mark, least = call.attributes.integer("mark", 0), call.attributes.integer("mincharnum", 1)
    padding, expression = call.attributes.text("pad_value", ""), call.attributes.text("tokenexp", "")
    found = [_characters(separator) for separator in separators]
    if mark or padding or expression or least != 1 or len(found) != 1 or found[0] is None or x.type.rank != 1:
        raise UnsupportedError("kir has Tokenizer for separators of one character only, of texts [n]")
    stated = call.translator.hints.get(call.outputs[0])
    size = stated.shape[-1] if stated is not None and stated.rank == 2 else None
    return call.add(SplitText(found[0], call.translator.size_names.new("parts") if size is None else size), x)


def _characters(separator: str) -> str | None:
    """Return the characters of a class of a regular expression; None if it is anything else, "" for no separator."""
    match = _CLASS.fullmatch(separator)
    if match is None:
        return None if separator else ""
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)
