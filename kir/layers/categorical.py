"""Keras's preprocessing layers for categories: from numbers and texts to indices, and from indices to vectors.

Source: https://keras.io/api/layers/preprocessing_layers/categorical/
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.dims import is_known
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ir.types import format_shape
from kir.layers.fingerprints import hash_buckets
from kir.modeling.declared import DeclaredLayer
from kir.ops.lookup import Lookup
from kir.ops.sparse import SparseToDense
from kir.support.arguments import boolean, choice, number
from kir.support.declarations import Argument, Boolean, Choice, Integer, Number, OptionalInteger, Unchecked

# Vectors so long are made by counting: marks for each index of a row, a vector of that length, would fill the memory.
LARGE_DEPTH = 1000

OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def output_mode(owner: str, name: str, mode: object, allowed: Sequence[str]) -> str:
    """Return one of the words allowed, of which some had other names in old versions of Keras."""
    return str(choice(owner, name, OLD_MODES.get(mode, mode) if isinstance(mode, str) else mode, allowed))


def dense(owner: str, name: str, sparse: object) -> bool:
    """Return whether Keras makes sparse outputs; here they are dense, which is said."""
    if boolean(owner, name, sparse):
        warnings.warn(f"{owner} has sparse=True; its output is dense here, with the same numbers", stacklevel=2)
    return bool(sparse)


def _boundaries(owner: str, name: str, given: Sequence[float] | None) -> list[float] | None:
    if given is None:
        return None
    boundaries = [number(owner, "a boundary", one) for one in given]
    if sorted(boundaries) != boundaries:
        raise InvalidArgumentError(f"{owner}: {name} must rise; received {name}={given!r}")
    return boundaries


class CategoryEncoding(DeclaredLayer):
    """Indices below num_tokens as vectors of that length.

    | output_mode | shape                                            | what it holds                           |
    |-------------|--------------------------------------------------|-----------------------------------------|
    | one_hot     | (…,) → (…, num_tokens); (…, 1) → (…, num_tokens) | 1 at each index                         |
    | multi_hot   | (batch, n) → (batch, num_tokens)                 | 1 at every index that occurs in a row   |
    | count       | (batch, n) → (batch, num_tokens)                 | how often each occurs, or its weights   |

    An index that is negative or too large counts nowhere.

    Raises:
        InvalidArgumentError: an argument is none of these.

    Source: https://keras.io/api/layers/preprocessing_layers/categorical/category_encoding/
    """

    unsaved = frozenset({"sparse"})
    limits = "dense outputs"
    takes_one_tensor = True
    ignored_config = frozenset({"sparse"})

    num_tokens: Integer = Integer(1, default=None, doc="at least 1")
    output_mode: Argument[str, str] = Argument(
        partial(output_mode, allowed=("one_hot", "multi_hot", "count")), default="multi_hot", doc="see the table"
    )
    sparse: Argument[bool, bool] = Argument(dense, default=False, doc="outputs are dense all the same")

    def call(self, inputs: Tensor, count_weights: Tensor | None = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise InvalidArgumentError(
                f"CategoryEncoding takes count_weights with output_mode='count' only; received "
                f"output_mode={self.output_mode!r}"
            )
        return encode(inputs, self.output_mode, self.num_tokens, self.dtype, count_weights)


class Discretization(DeclaredLayer):
    """The bin of each number, how many boundaries it has reached: (…,) → (…,) of int32, or encoded.

    Raises:
        InvalidArgumentError: an argument is none of these, or there are no boundaries.

    Source: https://keras.io/api/layers/preprocessing_layers/numerical/discretization/
    """

    limits = "dense outputs; no adapt(), but saved boundaries are read"
    takes_one_tensor = True

    bin_boundaries: Argument[Sequence[float] | None, list[float] | None] = Argument(
        _boundaries, default=None, doc="numbers in rising order; n of them make n + 1 bins"
    )
    num_bins: OptionalInteger = OptionalInteger(
        0, default=None, doc="how many bins `adapt` was to find, of a layer that was saved with what it found"
    )
    epsilon: Number = Number(0, default=0.01, doc="the error that `adapt` was allowed; kept only")
    output_mode: Argument[str, str] = Argument(
        partial(output_mode, allowed=("int", "one_hot", "multi_hot", "count")),
        default="int",
        doc='"int", or one of those of `CategoryEncoding`',
    )
    sparse: Argument[bool, bool] = Argument(dense, default=False, doc="outputs are dense all the same")

    def finish_init(self) -> None:
        if self.bin_boundaries is None and self.num_bins is None:
            raise InvalidArgumentError(f"{self.name_in_messages}: give bin_boundaries or num_bins; received neither")

    def call(self, inputs: Tensor) -> Any:
        indices = self.find_bins(self.promote(inputs))
        if self.output_mode == "int":
            return indices
        return encode(indices, self.output_mode, self.bin_count, self.compute_type.keras_name)

    @property
    def bin_count(self) -> int:
        """How many bins there are."""
        return len(self.bin_boundaries or ()) + 1

    def boundaries(self, x: Tensor) -> Any:
        """Return the boundaries, [bins - 1] of x's dtype.

        Raises:
            InvalidArgumentError: there are none.
        """
        if self.bin_boundaries is None:
            raise InvalidArgumentError(
                "Discretization has no bin_boundaries; kir does not adapt to data: give them, or a saved model"
            )
        return np.asarray(self.bin_boundaries, x.type.dtype.numpy)

    def find_bins(self, x: Tensor) -> Any:
        """Return the index of the bin of each element, (…,) → (…,) of int32.

        Raises:
            InvalidArgumentError: there are no boundaries.
        """
        # Not those that x is less than: NaN is less than none, and belongs in the last bin, as in NumPy.
        reached = K.logical_not(K.less(K.expand_dims(x, -1), self.boundaries(x)))
        return K.sum(K.cast(reached, "int32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the config with the plain name of the dtype, and not `trainable`, as Keras writes it."""
        config = super().get_config()
        del config["trainable"]
        return config | {"dtype": self.dtype_policy.name}


class IndexLookup(DeclaredLayer):
    """Tokens to indices and back. The vocabulary is [mask_token,] oov_token × num_oov_indices, tokens …

    Raises:
        InvalidArgumentError: an argument is none of these, or the vocabulary repeats a token.
        UnsupportedError: unknown tokens would be hashed: texts, or integers with a salt.
    """

    takes_one_tensor = True
    ignored_config: ClassVar[frozenset[str]] = frozenset({"vocabulary_dtype", "has_input_vocabulary"})

    # The kind of the tokens, and the dtype of an Input for them.
    token_type: ClassVar[type[int] | type[str]]
    token_dtype: ClassVar[str]

    max_tokens = OptionalInteger(2, default=None, doc="the size of the vocabulary at most, with the special tokens")
    num_oov_indices = Integer(0, default=1, doc="how many indices unknown tokens are spread over")
    mask_token = Unchecked(
        default=None, doc='the token with index 0 (in mode "int"; the others leave it out), or None for none'
    )
    oov_token = Unchecked(default=None, doc="what indices without a token stand for, when `invert`")
    vocabulary = Unchecked(default=None, doc="the tokens, with or without the special ones at their front")
    idf_weights = Unchecked(default=None, doc='for "tf_idf", a weight for each token of `vocabulary`')
    invert: Boolean = Boolean(default=False, kw_only=True, doc="from indices to tokens")
    output_mode: Argument[str, str] = Argument(
        partial(output_mode, allowed=("int", "one_hot", "multi_hot", "count", "tf_idf")),
        default="int",
        kw_only=True,
        doc='"int", "one_hot", "multi_hot", "count" or "tf_idf"',
    )
    pad_to_max_tokens: Boolean = Boolean(
        default=False, kw_only=True, doc="vectors of length `max_tokens`, not of that of the vocabulary"
    )
    sparse: Argument[bool, bool] = Argument(dense, default=False, kw_only=True, doc="outputs are dense all the same")
    oov_method: Choice = Choice("floormod", "farmhash", default="floormod", kw_only=True)
    salt: Unchecked = Unchecked(default=None, kw_only=True)
    vocabulary_size: OptionalInteger = OptionalInteger(0, default=None, kw_only=True)

    def finish_init(self) -> None:
        owner = self.name_in_messages
        if self.invert and self.output_mode != "int":
            raise InvalidArgumentError(f"{owner}: invert goes with output_mode='int'; received {self.output_mode!r}")
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise InvalidArgumentError(f"{owner}: pad_to_max_tokens needs max_tokens; received max_tokens=None")
        spreads = self.num_oov_indices > 1 and not self.invert
        if spreads and self.token_type is str:
            raise UnsupportedError(
                f"{owner} spreads unknown texts over {self.num_oov_indices} indices by a hash, for which ONNX has no "
                f"operator: none reads the letters of texts; use num_oov_indices=1"
            )
        if spreads and self.salt is not None:
            raise UnsupportedError(f"{owner} has salt={self.salt!r}, and hashes by SipHash64; use salt=None")
        self._tokens: tuple[Any, ...] = ()
        # A weight for every index, [depth].
        self.index_weights: Array | None = None
        vocabulary, idf_weights = self.vocabulary, self.idf_weights
        self.vocabulary = self.idf_weights = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def set_vocabulary(self, vocabulary: npt.ArrayLike, idf_weights: npt.ArrayLike | None = None) -> None:
        """Set the tokens, with or without the special ones at their front, and for "tf_idf" a weight for each.

        Raises:
            InvalidArgumentError: they repeat, are none, too many, or of the wrong kind, or the weights do not fit them.
        """
        owner = self.name_in_messages
        if isinstance(vocabulary, str):
            raise InvalidArgumentError(
                f"{owner}: vocabulary must be a list of tokens; received vocabulary={vocabulary!r}: read the file and "
                f"give its lines"
            )
        given = [self._token(owner, token) for token in np.asarray(vocabulary, object).ravel().tolist()]
        special = [self.mask_token] * self._oov_start + [self.oov_token] * self.num_oov_indices
        has_special = given[: len(special)] == special
        tokens = given[len(special) :] if has_special else given
        if not tokens or len(set(tokens)) != len(tokens):
            raise InvalidArgumentError(f"{owner}: a vocabulary must have tokens, each once; received {_short(given)}")
        if self.max_tokens is not None and len(special) + len(tokens) > self.max_tokens:
            raise InvalidArgumentError(
                f"{owner}: a vocabulary of {len(special) + len(tokens)} tokens, the special ones counted, is larger "
                f"than max_tokens={self.max_tokens}"
            )
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise InvalidArgumentError(f"{owner}: idf_weights go with output_mode='tf_idf', and are needed for it")
        if idf_weights is not None:
            self.index_weights = self._padded(
                owner, np.asarray(idf_weights, np.float64).ravel(), len(given), has_special
            )
            self.idf_weights = np.asarray(idf_weights).tolist()
        self.vocabulary = given
        self._tokens = tuple(tokens)
        self.vocabulary_size = len(special) + len(tokens)

    def _padded(self, owner: str, weights: Array, expected: int, has_special: bool) -> Array:
        """Return a weight for every index: the average of all for special tokens without one, and 0 after the last."""
        if len(weights) != expected:
            raise InvalidArgumentError(f"{owner}: received {len(weights)} idf_weights for {expected} tokens")
        front = 0 if has_special else self._token_start
        padded = np.concatenate([np.full(front, weights.mean()), weights])
        return np.pad(padded, (0, max(self.max_tokens or 0, len(padded)) - len(padded))) if self._is_padded else padded

    def _token(self, owner: str, token: object) -> Any:
        token = token.decode() if isinstance(token, bytes) else token
        if self.token_type is int and isinstance(token, int | np.integer) and not isinstance(token, bool):
            return int(token)
        if not isinstance(token, self.token_type) or isinstance(token, bool):
            raise InvalidArgumentError(
                f"{owner}: a token must be {'text' if self.token_type is str else 'an integer'}; received {token!r}"
            )
        return str(token)  # a text of NumPy's is of a class of its own

    @property
    def _oov_start(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    @property
    def _token_start(self) -> int:
        return self._oov_start + self.num_oov_indices

    @property
    def _is_padded(self) -> bool:
        return self.pad_to_max_tokens and self.max_tokens is not None

    @property
    def depth(self) -> int | None:
        """The length of its vectors; None without a vocabulary."""
        return self.max_tokens if self._is_padded else self.vocabulary_size

    @property
    def input_dtype(self) -> str:
        return "int64" if self.invert else self.token_dtype

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """Return the tokens in the order of their indices."""
        special = [self.mask_token] * self._oov_start + [self.oov_token] * self.num_oov_indices
        return [*(special if include_special_tokens else []), *self._tokens]

    def call(self, inputs: Tensor) -> Any:
        depth = self.depth
        if depth is None or (not self._tokens and inputs.tracer.graph is not None):
            raise InvalidArgumentError(
                f"{type(self).__name__} has no vocabulary; kir does not adapt to data: give vocabulary=, call "
                f"set_vocabulary, or export a .keras file, which holds what the layer learned (.h5 files do not)"
            )
        if self.invert:
            return emit(self._inverse(), K.cast(inputs, "int64"))
        found = self._found(inputs, depth)
        if self.output_mode == "int":
            return found
        if self.output_mode != "tf_idf":
            return encode(found, self.output_mode, depth, "int64")
        weights = np.zeros(depth) if self.index_weights is None else self.index_weights
        return encode(found, "count", depth, K.floatx()) * weights.astype(K.floatx())

    def _found(self, inputs: Tensor, depth: int) -> Any:
        """Return the index of every token. What is to be left out has the first index that is too large."""
        keys = [*self._tokens] or [self.token_type()]
        values = list(range(self._token_start, self._token_start + len(keys)))
        if self.mask_token is not None:
            keys.append(self._token(self.name, self.mask_token))
            values.append(0 if self.output_mode == "int" else depth)
        unknown = self._oov_start if self.num_oov_indices == 1 else -1
        x = inputs if self.token_type is str else K.cast(inputs, "int64")
        found = emit(Lookup(tuple(keys), tuple(values), unknown), x)
        if self.num_oov_indices < 2:
            return found
        spreads = K.mod if self.oov_method == "floormod" else hash_buckets
        spread = spreads(x, self.num_oov_indices) + self._oov_start
        return K.where(K.equal(found, -1), spread, found)

    def _inverse(self) -> Lookup:
        tokens = self._tokens or (self.token_type(),)
        keys = tuple(range(self._token_start, self._token_start + len(tokens)))
        oov = self._token(self.name, self.oov_token)
        if self.mask_token is None:
            return Lookup(keys, tokens, oov)
        return Lookup((0, *keys), (self._token(self.name, self.mask_token), *tokens), oov)


class IntegerLookup(IndexLookup):
    """Integers to indices of a vocabulary, (…,) → (…,) of int64, or encoded; or back. See `IndexLookup`.

    Unknown integers have `num_oov_indices` indices; integer i that of i mod num_oov_indices, or with
    oov_method="farmhash" of the hash of its digits. Without any, Keras stops
    at an unknown one, and here its index is -1.

    Source: https://keras.io/api/layers/preprocessing_layers/categorical/integer_lookup/
    """

    limits = "dense outputs; no adapt(), but saved vocabularies are read; no salt"
    ignored_config = frozenset({"has_input_vocabulary"})
    token_type = int
    token_dtype = "int64"

    max_tokens: OptionalInteger = OptionalInteger(2, default=None)
    num_oov_indices: Integer = Integer(0, default=1)
    mask_token: Unchecked = Unchecked(default=None)
    oov_token: Unchecked = Unchecked(default=-1)
    vocabulary: Unchecked = Unchecked(default=None)
    vocabulary_dtype: Choice = Choice("int64", default="int64")
    idf_weights: Unchecked = Unchecked(default=None)


class StringLookup(IndexLookup):
    """Texts to indices of a vocabulary, (…,) → (…,) of int64, or encoded; or back. See `IndexLookup`.

    All unknown texts have one index: more would take a hash that ONNX has no operator for. Without any, Keras stops at
    an unknown one, and here its index is -1.

    Source: https://keras.io/api/layers/preprocessing_layers/categorical/string_lookup/
    """

    limits = "dense outputs; no adapt(), but saved vocabularies are read; one index for unknown texts"

    token_type = str
    token_dtype = "string"

    max_tokens: OptionalInteger = OptionalInteger(2, default=None)
    num_oov_indices: Integer = Integer(0, default=1)
    mask_token: Unchecked = Unchecked(default=None)
    oov_token: Unchecked = Unchecked(default="[UNK]")
    vocabulary: Unchecked = Unchecked(default=None)
    idf_weights: Unchecked = Unchecked(default=None)
    encoding: Choice = Choice("utf-8", default="utf-8")


def encode(indices: Tensor, mode: str, depth: int, dtype: str, weights: Tensor | None = None) -> Any:
    """Return indices as vectors of length `depth`, as the table of `CategoryEncoding` says."""
    rank = len(indices.shape)
    if rank == 0:
        indices = K.expand_dims(indices, -1)
    if mode == "one_hot":
        return K.one_hot(K.squeeze(indices, -1) if rank > 1 and indices.shape[-1] == 1 else indices, depth, dtype=dtype)
    if rank == 2 and weights is None and depth >= LARGE_DEPTH and not is_known(indices.shape[1]):
        counts = _counts(indices, depth, dtype)
        return K.minimum(counts, K.ones((), dtype)) if mode == "multi_hot" else counts
    marks = K.one_hot(indices, depth, dtype=dtype)
    axis = 1 if rank > 1 else 0
    if mode == "multi_hot":
        # Where there may be no index at all, there is no largest mark.
        is_filled = isinstance(indices.shape[axis], int) and indices.shape[axis] > 0
        return K.max(marks, axis=axis) if is_filled else K.minimum(K.sum(marks, axis=axis), K.ones((), dtype))
    if weights is not None:
        if not _may_be_equal(weights.shape, indices.shape):
            raise ShapeError(
                f"count_weights must have the shape of the indices, {format_shape(indices.shape)}; received "
                f"{format_shape(weights.shape)}"
            )
        marks = marks * K.expand_dims(K.cast(weights, dtype), -1)
    return K.sum(marks, axis=axis)


def _counts(indices: Tensor, depth: int, dtype: str) -> Any:
    """Return how often each index below `depth` occurs in a row: (batch, n) → (batch, depth).

    Nothing of the size of batch × n × depth is made.
    """
    batch, length = indices.shape
    is_counted = K.logical_and(indices >= 0, indices < depth)
    column = K.where(is_counted, K.cast(indices, "int64"), depth)
    row = K.broadcast_to(K.expand_dims(K.arange(batch, dtype="int64"), -1), (batch, length))
    places = K.reshape(K.stack([row, column], axis=-1), (batch * length, 2))
    shape = (batch, depth + 1)
    size = K.stack([K.cast(one, "int64") for one in shape])
    return emit(SparseToDense(shape), places, K.ones((batch * length,), dtype), size)[:, :depth]


def _may_be_equal(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Return whether two shapes are the same, as far as their sizes are known."""
    known = [sizes for sizes in zip(a, b, strict=False) if all(isinstance(size, int) for size in sizes)]
    return len(a) == len(b) and all(one == other for one, other in known)


def _short(items: list[Any]) -> str:
    return repr(items) if len(items) <= 8 else f"{len(items)} tokens, {items[:8]} …"
