"""Keras's layers that look vectors up in a table.

Source: https://keras.io/api/layers/core_layers/
"""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir import constraints, initializers, regularizers
from kir.backend.dispatch import promote
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, as_dtype
from kir.modeling.layer import Layer
from kir.ops import linear
from kir.ops.elementwise import Cast
from kir.ops.shape import Gather
from kir.support.arguments import boolean, integer, number

INDEX_DTYPES = frozenset({DType.INT32, DType.INT64})


class Embedding(Layer):
    """The row of a table for every index: (batch, …) → (batch, …, output_dim). Floats are truncated to indices.

    Args:
        input_dim: how many rows the table has; indices are below it.
        output_dim: the size of a row.
        mask_zero: whether the index 0 stands for a masked step.
        weights: the table, or a list that holds it, in place of what the initializer draws. No config has it.
        input_length: how many indices a sample has, as Keras 2 declares the input shape of a first layer; accepted
            as a further keyword.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the given table is not (input_dim, output_dim).

    Source: https://keras.io/api/layers/core_layers/embedding/
    """

    takes_one_tensor = True
    ignored_config = frozenset({"quantization_config", "lora_rank", "lora_alpha"})

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        input_length = kwargs.pop("input_length", None)
        if input_length is not None and not kwargs.keys() & {"input_shape", "batch_input_shape", "batch_shape"}:
            kwargs["input_shape"] = input_length
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.input_dim = integer(owner, "input_dim", input_dim, 1)
        self.output_dim = integer(owner, "output_dim", output_dim, 1)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = boolean(owner, "mask_zero", mask_zero)
        self.supports_masking = self.mask_zero
        # Indices and what is looked up have dtypes of their own; Keras casts the result alone.
        self.autocast = False
        if weights is not None:
            self.ensure_built(None)
            self.set_weights(list(weights) if isinstance(weights, list | tuple) and len(weights) == 1 else [weights])

    def build(self, input_shape: Any = None) -> None:
        """A table of (input_dim, output_dim), whatever the input."""
        self.embeddings = self.new_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            self.embeddings_regularizer,
            self.embeddings_constraint,
        )

    def call(self, inputs: Tensor) -> Any:
        indices = inputs if inputs.type.dtype in INDEX_DTYPES else emit(Cast(DType.INT32), inputs)
        return emit(Gather(0), self.read(self.embeddings, inputs), indices)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the index is not 0, if `mask_zero`."""
        return K.not_equal(inputs, 0) if self.mask_zero else None

    def argument(self, name: str) -> Any:
        """The table is none of the config, and only a model's own attribute `weights` has that name."""
        return None if name == "weights" else super().argument(name)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that Keras saves."""
        config = {name: value for name, value in super().get_config().items() if name != "weights"}
        return {"activity_regularizer": None} | config


class ReversibleEmbedding(Embedding):
    """An Embedding that `call(…, reverse=True)` also goes backwards through: (…, output_dim) → (…, input_dim) logits.

    Args:
        tie_weights: whether backwards is the product with the table itself; else with a weight of its own.
        reverse_dtype: the dtype to compute that product in; None for that of the input and the table together.
        logit_soft_cap: a bound c on the logits, as `c · tanh(logits / c)`.

    The others are those of Embedding.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.

    Source: https://keras.io/api/layers/core_layers/reversible_embedding/
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            **kwargs,
        )
        owner = f"ReversibleEmbedding {self.name!r}"
        self.tie_weights = boolean(owner, "tie_weights", tie_weights)
        self.reverse_dtype = None if reverse_dtype is None else as_dtype(reverse_dtype).keras_name
        self.logit_soft_cap = None if logit_soft_cap is None else number(owner, "logit_soft_cap", logit_soft_cap)

    def build(self, input_shape: Any = None) -> None:
        """The table, and the weight of (output_dim, input_dim) for the way back if that is not tied to it."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.new_weight(
                "reverse_embeddings", (self.output_dim, self.input_dim), self.embeddings_initializer
            )

    def call(self, inputs: Tensor, reverse: bool = False) -> Any:
        if not reverse:
            return super().call(inputs).with_mask(super().compute_mask(inputs, None))
        weight = self.embeddings if self.tie_weights else self.reverse_embeddings
        # Keras reads the weight in its own dtype here.
        operands = [inputs, self.read(weight, inputs, weight.dtype)]
        inputs, table = promote(
            *[K.cast(one, self.reverse_dtype) for one in operands] if self.reverse_dtype else operands
        )
        logits = emit(linear.Dense(), inputs, K.transpose(table) if self.tie_weights else table)
        if self.logit_soft_cap is None:
            return logits
        return K.tanh(logits / self.logit_soft_cap) * self.logit_soft_cap

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: logits have no mask, and the rows that are looked up carry theirs from `call`."""
        return None

    def mask_outputs(self, inputs: Any, outputs: Any, masks: Any) -> Any:
        """The output with the mask that `call` gave it."""
        return outputs
