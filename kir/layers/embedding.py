"""Keras's layers that look vectors up in a table.

Source: https://keras.io/api/layers/core_layers/
"""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir.backend.dispatch import promote
from kir.ir.trace import Tensor, TensorLike, emit
from kir.ir.types import DType, DTypeLike, Shape, as_dtype
from kir.modeling.declared import Constraint, DeclaredLayer, Initializer, Regularizer
from kir.ops import linear
from kir.ops.elementwise import Cast
from kir.ops.shape import Gather
from kir.support.declarations import Argument, Boolean, Integer, OptionalNumber, Unchecked

INDEX_DTYPES = frozenset({DType.INT32, DType.INT64})


class Embedding(DeclaredLayer):
    """The row of a table for every index: (batch, …) → (batch, …, output_dim). Floats are truncated to indices.

    The `input_length` of Keras 2, how many indices a sample has, is taken too: it declares the input shape of a first
    layer.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the given table is not (input_dim, output_dim).

    Source: https://keras.io/api/layers/core_layers/embedding/
    """

    unsaved = frozenset({"weights"})
    names_absent_regularizer = True
    takes_one_tensor = True
    ignored_config = frozenset({"quantization_config", "lora_rank", "lora_alpha"})

    input_dim: Integer = Integer(1, doc="how many rows the table has; indices are below it")
    output_dim: Integer = Integer(1, doc="the size of a row")
    embeddings_initializer: Initializer = Initializer(default="uniform")
    embeddings_regularizer: Regularizer = Regularizer(default=None)
    embeddings_constraint: Constraint = Constraint(default=None)
    mask_zero: Boolean = Boolean(default=False, doc="whether the index 0 stands for a masked step")
    initial_table: Unchecked = Unchecked(
        default=None,
        alias="weights",
        doc="the table, or a list that holds it, in place of what the initializer draws. No config has it",
    )

    def read_old_names(self, given: dict[str, object]) -> None:
        """Read the `input_length` of Keras 2 as the input shape."""
        length = given.pop("input_length", None)
        if length is not None and not given.keys() & {"input_shape", "batch_input_shape", "batch_shape"}:
            given["input_shape"] = length

    def finish_init(self) -> None:
        self.supports_masking = self.mask_zero
        # Indices and what is looked up have dtypes of their own; Keras casts the result alone.
        self.autocast = False
        table, self.initial_table = self.initial_table, None
        if table is not None:
            self.ensure_built(None)
            self.set_weights(list(table) if isinstance(table, list | tuple) and len(table) == 1 else [table])

    def build(self, input_shape: Shape | None = None) -> None:
        """Make a table of (input_dim, output_dim), whatever the input."""
        self.embeddings = self.weight_of_role("embeddings", (self.input_dim, self.output_dim))

    def call(self, inputs: Tensor) -> Any:
        indices = inputs if inputs.type.dtype in INDEX_DTYPES else emit(Cast(DType.INT32), inputs)
        return emit(Gather(0), self.read(self.embeddings, inputs), indices)

    def compute_mask(self, inputs: TensorLike, mask: object = None) -> Any:
        """Return True where the index is not 0, if `mask_zero`."""
        return K.not_equal(inputs, 0) if self.mask_zero else None


def _dtype_name(owner: str, name: str, given: DTypeLike | None) -> str | None:
    return None if given is None else as_dtype(given).keras_name


class ReversibleEmbedding(Embedding):
    """An Embedding with a way back: `call(…, reverse=True)` makes logits (…, input_dim) of (…, output_dim).

    The other arguments are those of Embedding.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.

    Source: https://keras.io/api/layers/core_layers/reversible_embedding/
    """

    input_dim: Integer = Integer(1)
    output_dim: Integer = Integer(1)
    tie_weights: Boolean = Boolean(
        default=True, doc="whether backwards is the product with the table itself; else with a weight of its own"
    )
    embeddings_initializer: Initializer = Initializer(default="uniform")
    embeddings_regularizer: Regularizer = Regularizer(default=None)
    embeddings_constraint: Constraint = Constraint(default=None)
    mask_zero: Boolean = Boolean(default=False)
    reverse_dtype: Argument[object, str | None] = Argument(
        _dtype_name,
        default=None,
        doc="the dtype to compute that product in; None for that of the input and the table together",
    )
    logit_soft_cap: OptionalNumber = OptionalNumber(
        default=None, doc="a bound c on the logits, as `c · tanh(logits / c)`"
    )

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the table, and the weight of (output_dim, input_dim) for the way back if that is not tied to it."""
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

    def compute_mask(self, inputs: TensorLike, mask: object = None) -> Any:
        """Return None: logits have no mask, and the rows that are looked up carry theirs from `call`."""
        return None

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the output with the mask that `call` gave it."""
        return outputs
