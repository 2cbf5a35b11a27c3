"""Keras's layers that spread integers over bins by a hash.

Source: https://keras.io/api/layers/preprocessing_layers/categorical/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from kir import backend as K
from kir.config import as_dtype_policy
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.trace import Tensor
from kir.ir.types import DType, format_shape
from kir.layers.categorical import dense, encode
from kir.layers.fingerprints import cross_buckets, hash_buckets
from kir.modeling.declared import DeclaredLayer
from kir.support.arguments import choice
from kir.support.declarations import Argument, Integer, Unchecked

# Why texts are refused.
NO_TEXTS = (
    "ONNX has no operator that reads the letters of texts, and both hashes of onnxruntime-extensions give other "
    "numbers than TensorFlow's; hash texts before the model, or use a StringLookup"
)


def _no_salt(owner: str, name: str, salt: object) -> None:
    if salt is not None:
        raise UnsupportedError(
            f"{owner} has {name}={salt!r}, and hashes by SipHash64; kir has FarmHash64: use salt=None"
        )


def _mode(*allowed: str) -> Argument[str, str]:
    return Argument(partial(choice, allowed=allowed), default="int", doc='"int", or one of those of `CategoryEncoding`')


class _Hash(DeclaredLayer):
    """The base of these layers, whose dtype is int64 for indices if none is given."""

    num_bins = Integer(1)
    output_mode = _mode("int", "one_hot")

    def begin_init(self, others: Mapping[str, Any]) -> None:
        super().begin_init({**others, "autocast": False})
        self._has_dtype = others.get("dtype") is not None

    def finish_init(self) -> None:
        if self.output_mode == "int" and not self._has_dtype:
            self.dtype_policy = as_dtype_policy("int64")

    def encode(self, indices: Tensor) -> Any:
        """Return indices, or vectors for them, in the layer's dtype."""
        dtype = self.compute_type.keras_name
        is_index = self.output_mode == "int"
        return K.cast(indices, dtype) if is_index else encode(indices, self.output_mode, self.num_bins, dtype)

    def as_integers(self, x: Tensor) -> Any:
        """Return numbers as int64.

        Raises:
            UnsupportedError: they are texts.
        """
        if x.type.dtype is DType.STRING:
            raise UnsupportedError(f"{self.name_in_messages} hashes texts: {NO_TEXTS}")
        return K.cast(x, "int64")


class Hashing(_Hash):
    """Numbers spread over bins by FarmHash64 of their digits: (…,) → (…,), or vectors as of `CategoryEncoding`.

    Raises:
        InvalidArgumentError: an argument is none of these.
        UnsupportedError: there is a salt; at a call, the inputs are texts.

    Source: https://keras.io/api/layers/preprocessing_layers/categorical/hashing/
    """

    limits = "no texts, no salt; dense outputs"
    takes_one_tensor = True

    num_bins: Integer = Integer(1, doc="how many bins; with a mask value, bin 0 is its")
    mask_value: Unchecked = Unchecked(default=None, doc="the number that has bin 0 alone, if there are more")
    salt: Argument[object, None] = Argument(_no_salt, default=None, doc="only None")
    output_mode: Argument[str, str] = _mode("int", "one_hot", "multi_hot", "count")
    sparse: Argument[bool, bool] = Argument(dense, default=False, doc="outputs are dense all the same")

    def call(self, inputs: Tensor) -> Any:
        x = self.as_integers(inputs)
        if self.output_mode == "one_hot" and len(x.shape) > 1 and x.shape[-1] == 1:
            x, inputs = K.squeeze(x, -1), K.squeeze(inputs, -1)
        if self.mask_value is None or self.num_bins == 1:
            return self.encode(hash_buckets(x, self.num_bins))
        bins = hash_buckets(x, self.num_bins - 1) + 1
        return self.encode(K.where(K.equal(inputs, self.mask_value), 0, bins))


class HashedCrossing(_Hash):
    """Combinations of integers, of (batch,) or (batch, 1) each, spread over bins by a hash.

    Raises:
        InvalidArgumentError: an argument is none of these; at a call, there are fewer than two inputs, or no integers.
        ShapeError: at a call, if the inputs have other shapes, or not the same.
        UnsupportedError: at a call, an input is of texts.

    Source: https://keras.io/api/layers/preprocessing_layers/categorical/hashed_crossing/
    """

    limits = "no texts; dense outputs"

    num_bins: Integer = Integer(1, doc="how many bins")
    output_mode: Argument[str, str] = _mode("int", "one_hot")
    sparse: Argument[bool, bool] = Argument(dense, default=False, doc="outputs are dense all the same")

    def call(self, inputs: Sequence[Tensor]) -> Any:
        owner = self.name_in_messages
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise InvalidArgumentError(f"{owner} crosses at least two inputs; received {inputs!r}")
        shape = inputs[0].shape
        if len(shape) > 2 or (len(shape) == 2 and shape[-1] != 1) or any(len(x.shape) != len(shape) for x in inputs):
            raise ShapeError(
                f"{owner} needs inputs of one shape, (batch,) or (batch, 1); received "
                f"{', '.join(format_shape(x.shape) for x in inputs)}"
            )
        columns = [self.as_integers(x) for x in inputs]
        if any(x.type.dtype.is_float for x in inputs):
            raise InvalidArgumentError(f"{owner} crosses integers; received {', '.join(str(x.type) for x in inputs)}")
        return self.encode(cross_buckets(columns, self.num_bins))

    def get_config(self) -> dict[str, Any]:
        """Return the config with the plain name of the dtype, and not `trainable`, as Keras writes it."""
        config = super().get_config()
        del config["trainable"]
        return config | {"dtype": self.dtype_policy.name}
