"""Keras's layer that turns texts into the indices of their words.

Source: https://keras.io/api/layers/preprocessing_layers/text/
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from kir import backend as K
from kir.backend.indexing import emit_slice
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.dims import Dim, is_known, minimum
from kir.ir.trace import Tensor, emit
from kir.ir.types import format_shape
from kir.layers.categorical import IndexLookup, StringLookup, output_mode
from kir.modeling.declared import DeclaredLayer
from kir.modeling.layer import Layer
from kir.ops.lookup import Lookup
from kir.ops.shape import Concat, TopK
from kir.ops.text import ConcatTexts, JoinTexts, LowerCase, SplitText
from kir.support.arguments import boolean, integer
from kir.support.declarations import Argument, Boolean, Choice, OptionalInteger, Unchecked

LOWER = ("lower", "lower_and_strip_punctuation")
STRIP = ("strip_punctuation", "lower_and_strip_punctuation")
# What tf.strings.split takes for white space.
WHITESPACE = " \t\n\v\f\r"


def _choice(owner: str, name: str, given: object, allowed: Sequence[str]) -> Any:
    if callable(given) or isinstance(given, dict):
        raise UnsupportedError(
            f"{owner} has a function of its own as {name}, which computes with TensorFlow's texts; kir has "
            f"{', '.join(map(repr, allowed))} and None: apply the function before the model"
        )
    if given is not None and given not in allowed:
        raise InvalidArgumentError(
            f"{owner}: {name} must be one of {', '.join(map(repr, allowed))} or None; received {name}={given!r}"
        )
    return given


def _ngrams(owner: str, name: str, given: Any) -> Any:
    if isinstance(given, list | tuple):
        return tuple(integer(owner, name, one, minimum=1) for one in given)
    return None if given is None else integer(owner, name, given, minimum=1)


def _no_ragged(owner: str, name: str, given: object) -> bool:
    if boolean(owner, name, given):
        raise UnsupportedError(
            f"{owner} has ragged=True, and ONNX has no ragged tensors; use ragged=False, which ends short texts with 0"
        )
    return False


class TextVectorization(DeclaredLayer):
    """Texts, (batch,) or (batch, 1), to the indices of their words: (batch, length) of int64, or encoded.

    The vocabulary is "" for what is after the end of a text (in mode "int"), "[UNK]" for all unknown words, words …

    | output_mode               | result                                                                        |
    |---------------------------|-------------------------------------------------------------------------------|
    | int                       | (batch, output_sequence_length), or as long as the text with the most words   |
    | multi_hot, count, tf_idf  | (batch, size of the vocabulary), as of `StringLookup`                         |
    | one_hot                   | only with split=None: of split texts Keras makes ragged tensors               |

    Raises:
        InvalidArgumentError: an argument is none of these, or the vocabulary repeats a token.
        ShapeError: at a call, if texts to be split have other shapes.
        UnsupportedError: `standardize` or `split` is a function, or the result would be ragged.

    Source: https://keras.io/api/layers/preprocessing_layers/text/text_vectorization/
    """

    takes_one_tensor = True
    limits = (
        "dense outputs; no adapt(), but saved vocabularies are read; no functions of the user's own; the file runs in "
        "onnxruntime alone, whose Tokenizer it has, and is of opset 20 where it strips or makes n-grams"
    )
    ignored_config = frozenset({"has_input_vocabulary"})

    max_tokens: OptionalInteger = OptionalInteger(1, default=None, doc="the size of the vocabulary at most")
    standardize: Argument[str | None, str | None] = Argument(
        partial(_choice, allowed=("lower_and_strip_punctuation", "lower", "strip_punctuation")),
        default="lower_and_strip_punctuation",
        doc='what happens to the texts first: "lower" (A to Z), "strip_punctuation", both in one, or None',
    )
    split: Argument[str | None, str | None] = Argument(
        partial(_choice, allowed=("whitespace", "character")),
        default="whitespace",
        doc='"whitespace", "character", or None for texts that are tokens already',
    )
    ngrams: Argument[int | Sequence[int] | None, int | tuple[int, ...] | None] = Argument(
        _ngrams, default=None, doc="how many words in a row are a token: all numbers up to one, or those of a tuple"
    )
    output_mode: Argument[str, str] = Argument(
        partial(output_mode, allowed=("int", "one_hot", "multi_hot", "count", "tf_idf")),
        default="int",
        doc="see the table",
    )
    output_sequence_length: OptionalInteger = OptionalInteger(
        1, default=None, doc='for "int", the length of all rows, which are cut or end with 0'
    )
    pad_to_max_tokens: Boolean = Boolean(default=False, doc="vectors of length `max_tokens`")
    vocabulary: Unchecked = Unchecked(default=None, doc="the tokens, with or without the special ones at their front")
    idf_weights: Unchecked = Unchecked(default=None, doc='for "tf_idf", a weight for each token of `vocabulary`')
    sparse: Boolean = Boolean(default=False, doc="outputs are dense all the same")
    ragged: Argument[bool, bool] = Argument(_no_ragged, default=False, doc="only False")
    encoding: Choice = Choice("utf-8", default="utf-8")
    saved_size: OptionalInteger = OptionalInteger(0, default=None, kw_only=True, alias="vocabulary_size")

    def finish_init(self) -> None:
        owner = self.name_in_messages
        if self.output_mode == "one_hot" and self.split is not None:
            raise UnsupportedError(
                f"{owner} has output_mode='one_hot', whose result is ragged in Keras, and ONNX has no ragged tensors; "
                f"use 'int', 'multi_hot' or 'count'"
            )
        if self.output_mode != "int" and self.output_sequence_length is not None:
            raise InvalidArgumentError(
                f"{owner}: output_sequence_length goes with output_mode='int'; received {self.output_mode!r}"
            )
        self._lookup = StringLookup(
            self.max_tokens,
            mask_token="",
            vocabulary=self.vocabulary,
            idf_weights=self.idf_weights,
            output_mode=self.output_mode,
            pad_to_max_tokens=self.pad_to_max_tokens,
            sparse=self.sparse,
            vocabulary_size=self.saved_size,
            name="_lookup_layer",
        )

    def owned_layers(self) -> dict[str, Layer]:
        """Return the lookup of words, which holds the vocabulary, where Keras's files have it."""
        return {"_lookup_layer": self._lookup}

    @property
    def input_dtype(self) -> str:
        return "string"

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the layer has no weights."""

    def get_config(self) -> dict[str, Any]:
        """Return the config with the vocabulary that the lookup has."""
        lookup = self._lookup
        words = {"vocabulary": lookup.vocabulary, "idf_weights": lookup.idf_weights}
        return super().get_config() | words | {"vocabulary_size": lookup.vocabulary_size}

    def set_vocabulary(self, vocabulary: npt.ArrayLike, idf_weights: npt.ArrayLike | None = None) -> None:
        """Set the tokens, with or without the special ones at their front; see `StringLookup.set_vocabulary`."""
        self._lookup.set_vocabulary(vocabulary, idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """Return the tokens in the order of their indices."""
        return self._lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """Return how many tokens there are, with the special ones."""
        return len(self.get_vocabulary())

    def call(self, inputs: Tensor) -> Any:
        tokens = self._tokenize(inputs)
        if self.ngrams is not None:
            return self._look_up_ngrams(tokens)
        found = self._lookup.call(tokens)
        return self._with_length(found) if self.output_mode == "int" else found

    # From texts to words

    def _tokenize(self, texts: Tensor) -> Tensor:
        """Return the texts as they are to be looked up: (batch, length) if they are split, else of their own shape."""
        if self.split is not None and (len(texts.shape) != 1 and (len(texts.shape) != 2 or texts.shape[-1] != 1)):
            raise ShapeError(
                f"{self.name_in_messages} splits texts of the shape (batch,) or (batch, 1); received "
                f"{format_shape(texts.shape)}"
            )
        if self.split is None and self.standardize is None:
            return texts
        size = K.size(texts)
        # The operators take no empty array: where there may be none, an empty text stands in front.
        is_guarded = not is_known(size) or size == 0
        x: Any = K.reshape(texts, (size,))
        if is_guarded:
            x = emit(Concat(0), np.array([""], object), x)
        x = self._standardized(x)
        if self.split is not None:
            x = emit(SplitText("" if self.split == "character" else WHITESPACE, _new_size(x)), x)
        x = x[1:] if is_guarded else x
        return K.reshape(x, texts.shape) if self.split is None else x

    def _standardized(self, x: Tensor) -> Tensor:
        if self.standardize in LOWER:
            x = emit(LowerCase(), x)
        if self.standardize in STRIP:
            x = emit(JoinTexts(), emit(SplitText(string.punctuation, _new_size(x)), x))
        return x

    # From words to indices

    def _look_up_ngrams(self, tokens: Tensor) -> Any:
        """Return what is found for all rows of words: first those of the first number, then of the second …"""
        widths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams or ()
        blocks = [self._ngrams_of(tokens, width) for width in widths]
        axis = len(tokens.shape) - 1
        joined = blocks[0] if len(blocks) == 1 else emit(Concat(axis), *blocks)
        found = self._lookup.call(joined)
        if self.output_mode != "int":
            return found
        if self.split is not None and len(blocks) > 1:
            # After each block of a short row are empty ones, which belong to the end. Of equal elements TopK puts
            # the one of the lower index first.
            is_there = K.cast(K.not_equal(found, 0), "int32")
            order = emit(TopK(found.shape[1], 1), is_there)[1]
            found = K.take_along_axis(found, order, axis=1)
        return self._with_length(found)

    def _ngrams_of(self, tokens: Tensor, width: int) -> Tensor:
        """Return all of so many words in a row, with spaces between, (…, length) → (…, max(0, length - width + 1))."""
        if width == 1:
            return tokens
        length = tokens.shape[-1]
        count = length - minimum(length, width - 1)
        last = tokens[..., length - count : length]
        joined = tokens[..., :count]
        for place in range(1, width):
            start = minimum(length - count, place)
            joined = emit(ConcatTexts(), joined, np.array([" "], object))
            joined = emit(ConcatTexts(), joined, tokens[..., start : start + count])
        # Of words after the end of a text nothing is made.
        is_there = K.equal(emit(Lookup(("",), (0,), 1), last), 1)
        return K.where(is_there, joined, np.array([""], object)) if self.split is not None else joined

    def _with_length(self, found: Tensor) -> Tensor:
        """Return rows of indices cut to the wanted length, or filled up with 0."""
        wanted = self.output_sequence_length
        if wanted is None or not found.shape:
            return found
        *sizes, length = found.shape
        if not is_known(length) or length < wanted:
            found = K.concatenate([found, K.zeros((*sizes, wanted), "int64")], axis=-1)
        return emit_slice(found, len(sizes), 0, wanted)


def lookup_of(layer: Layer) -> IndexLookup | None:
    """Return the lookup that a layer is, or whose weights Keras saves as its own; None if there is none."""
    return layer._lookup if isinstance(layer, TextVectorization) else layer if isinstance(layer, IndexLookup) else None


def _new_size(x: Tensor) -> Dim:
    """Return a size that nothing says before the model runs."""
    return x.tracer.new_size("parts")
