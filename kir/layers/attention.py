"""Keras's attention layers: each query looks at all keys, and gets the mean of their values by how well they fit.

They are written as products, softmax and Where, of which the pass fuse_attention makes one operator for opset 23 and
newer.

Source: https://keras.io/api/layers/attention_layers/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from kir import backend as K
from kir import initializers
from kir.backend.attention import attention_means, attention_scores, causal_mask, merge_masks
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim
from kir.ir.trace import Tensor
from kir.ir.types import DType, Shape, format_shape
from kir.layers.activations import masked_softmax
from kir.layers.einsum_dense import EinsumDense
from kir.layers.regularization import Dropout
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.layer import Layer
from kir.support.declarations import Boolean, Choice, Integer, Number, OptionalInteger, OptionalIntegers, Unchecked

# Subtracted from the score of a masked value.
PENALTY = 1e9
PENALTY_FLOAT16 = 65504.0


class Attention(DeclaredLayer):
    """Attention of one head: of [query, value] or [query, value, key], each (batch, …, steps, features).

    Masked values do not count, and masked queries give 0; the output has the mask of the query.

    Calls may ask for `return_attention_scores=True`, the fractions as a second output, and `use_causal_mask=True`, so
    that no step looks at later ones.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or the layer is called on something else than a list.

    Source: https://keras.io/api/layers/attention_layers/attention/
    """

    supports_masking = True

    use_scale: Boolean = Boolean(default=False, doc="whether a weight scales the scores")
    score_mode: Choice = Choice(
        "dot",
        "concat",
        default="dot",
        doc='"dot" for products of queries and keys, "concat" for the tanh of their sums, summed',
    )
    dropout: Number = Number(0, 1, default=0.0, doc="of the fractions, in training; from 0 to 1")
    seed: OptionalInteger = OptionalInteger(default=None, doc="of the dropout")

    def finish_init(self) -> None:
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Make weights without axes: a scale, and a factor for the "concat" mode.

        Raises:
            InvalidArgumentError: the input is no list of two or three.
        """
        _require_list(self, input_shape)
        if self.use_scale:
            self.scale = self.new_weight("scale", (), "ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.new_weight("concat_score_weight", (), "ones")

    def call(
        self,
        inputs: Sequence[Tensor],
        mask: Sequence[Tensor | None] | None = None,
        training: TrainingMode = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask is not None else (None, None)
        scores = self.compute_scores(query, key)
        kept = merge_masks(
            None if value_mask is None else K.expand_dims(K.cast(value_mask, "bool"), -2),
            causal_mask(query.shape[-2], key.shape[-2]) if use_causal_mask else None,
        )
        if kept is not None:
            penalty = PENALTY_FLOAT16 if scores.type.dtype is DType.FLOAT16 else PENALTY
            scores = K.where(kept, scores, scores - penalty)
        fractions = K.softmax(scores)
        if self.dropout:
            fractions = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy, name="dropout")(fractions)
        output = K.matmul(fractions, value)
        if query_mask is not None:
            output = K.where(K.expand_dims(K.cast(query_mask, "bool"), -1), output, 0)
        return (output, fractions) if return_attention_scores else output

    def compute_scores(self, query: Tensor, key: Tensor) -> Any:
        """Return how well each key fits each query: (batch, …, queries, keys)."""
        scale = None if self.scale is None else self.read(self.scale, query)
        if self.score_mode == "dot":
            scores = K.matmul(query, K.swapaxes(key, -2, -1))
            return scores if scale is None else scores * scale
        sums = K.expand_dims(query, -2) + K.expand_dims(key, -3)
        total = K.sum(K.tanh(sums if scale is None else scale * sums), axis=-1)
        return self.read(self.concat_score_weight, query) * total

    def compute_mask(self, inputs: object, mask: Sequence[Tensor | None] | None = None) -> Any:
        """Return the mask of the query."""
        return None if mask is None else mask[0]


class AdditiveAttention(Attention):
    """Attention whose scores are sums of `scale * tanh(query + key)`; the rest is as in Attention.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or the layer is called on something else than a list.

    Source: https://keras.io/api/layers/attention_layers/additive_attention/
    """

    unsaved = frozenset({"score_mode"})

    use_scale: Boolean = Boolean(default=True, doc="whether there is a weight `scale`, for each feature")
    dropout: Number = Number(0, 1, default=0.0)

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Make a scale for each feature of the query."""
        _require_list(self, input_shape)
        if self.use_scale:
            self.scale = self.new_weight("scale", (input_shape[0][-1],), "glorot_uniform")

    def compute_scores(self, query: Tensor, key: Tensor) -> Any:
        """Return how well each key fits each query: (batch, …, queries, keys)."""
        angles = K.tanh(K.expand_dims(query, -2) + K.expand_dims(key, -3))
        if self.scale is None:
            return K.sum(angles, axis=-1)
        # The sum of products over the features is a product of matrices.
        scale = K.expand_dims(self.read(self.scale, query), -1)
        return K.squeeze(K.matmul(angles, scale), -1)


class ProjectedAttention(DeclaredLayer):
    """The base of MultiHeadAttention and GroupQueryAttention: all but the sizes of the projections.

    Kernels, biases and their initializers, regularizers and constraints are those of all projections. A call takes
    `query, value, key=None`, an `attention_mask` of (batch, queries, keys), `use_causal_mask=True` so that no step
    looks at later ones, and `return_attention_scores=True` for the fractions as a second output. The masks that the
    inputs carry are used, unless `query_mask`, `value_mask` or `key_mask` gives another; that which the query carries
    is the output's.
    """

    unsaved = frozenset({"flash_attention"})
    names_absent_regularizer = True
    supports_masking = True
    takes_one_tensor = True
    # Keras's names for the projections, in its files of weights.
    saved_projections: ClassVar[dict[str, str]]
    # Whether a call may give the query another mask than it carries.
    takes_query_mask: ClassVar[bool]

    dropout = Number(0, 1, default=0.0, doc="of the fractions, in training; from 0 to 1")
    use_bias = Boolean(default=True, doc="whether the projections have biases")
    sliding_window = OptionalInteger(
        1, default=None, doc="how far a step may look, itself included, in both directions; None for everywhere"
    )
    flash_attention = Unchecked(default=None, doc="accepted; it asks Keras for another kernel, not for other numbers")
    kernel_initializer = Initializer(default="glorot_uniform")
    bias_initializer = Initializer(default="zeros")
    kernel_regularizer = Regularizer(default=None)
    bias_regularizer = Regularizer(default=None)
    kernel_constraint = Constraint(default=None)
    bias_constraint = Constraint(default=None)
    use_gate = Boolean(
        default=False, doc="whether a further projection of the query, through a sigmoid, multiplies the heads' outputs"
    )
    seed = OptionalInteger(default=None, doc="of the dropout")

    def finish_init(self) -> None:
        self._projections: dict[str, Layer] = {}

    @property
    def _step_axes(self) -> tuple[int, ...]:
        """The axes that the steps are along."""
        return (1,)

    def project(self, query: tuple[int, int], key: tuple[int, int], value: tuple[int, int], output: Shape) -> None:
        """Make the projections, each of (heads, size); they make their weights when they are called."""
        out = "cdefgh"[: len(output)]
        self._project("query", "...a,abc->...bc", query)
        self._project("key", "...a,abc->...bc", key)
        if self.use_gate:
            self._project("gate", "...a,abc->...bc", (query[0], value[1]), "sigmoid")
        self._project("value", "...a,abc->...bc", value)
        self._project("attention_output", f"...ab,ab{out}->...{out}", output)

    def _project(self, name: str, equation: str, sizes: Sequence[Any], activation: str | None = None) -> None:
        self._projections[name] = EinsumDense(
            equation,
            sizes,
            activation=activation,
            bias_axes=equation.partition("->...")[2] if self.use_bias else None,
            kernel_initializer=_another(self.kernel_initializer),
            bias_initializer=_another(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )

    def owned_layers(self) -> dict[str, Layer]:
        """Return the projections, under Keras's names for them."""
        return {self.saved_projections[name]: layer for name, layer in self._projections.items()}

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        masks = [
            query_mask if self.takes_query_mask and query_mask is not None else query.mask,
            value_mask if value_mask is not None else value.mask,
            key_mask if key_mask is not None or key is None else key.mask,
        ]
        query, value = query.with_mask(None), value.with_mask(None)
        key = value if key is None else key.with_mask(None)
        kept = self._merged_mask(masks, attention_mask, use_causal_mask, query.shape[1], value.shape[1])
        output, fractions = self._attend(
            self._projections["query"](query),
            self._projections["key"](key),
            self._projections["value"](value),
            kept,
            return_attention_scores,
        )
        if self.use_gate:
            output = output * self._projections["gate"](query)
        output = self._projections["attention_output"](output)
        return (output, fractions) if return_attention_scores else output

    def _merged_mask(
        self, masks: Sequence[Tensor | None], attention_mask: Tensor | None, is_causal: bool, queries: Dim, keys: Dim
    ) -> Any:
        """Return where a query may look, as (batch or 1, queries, keys); None for everywhere."""
        query_mask, *value_masks = [None if one is None else K.cast(one, "bool") for one in masks]
        window = None
        if self.sliding_window is not None:
            distance = K.abs(K.expand_dims(K.arange(queries), 1) - K.arange(keys))
            window = K.expand_dims(K.less(distance, self.sliding_window), 0)
        return merge_masks(
            None if query_mask is None else K.expand_dims(query_mask, -1),
            *[None if one is None else K.expand_dims(one, -2) for one in value_masks],
            K.expand_dims(causal_mask(queries, keys), 0) if is_causal else None,
            window,
            None if attention_mask is None else K.cast(attention_mask, "bool"),
        )

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None, wants_fractions: bool
    ) -> tuple[Any, Any]:
        """Return the heads' outputs (batch, …, heads, size), and if wanted the fractions (…, heads, queries, keys)."""
        axes, rank, scale = self._step_axes, len(query.shape), self.scale_of(query)
        while kept is not None and len(kept.shape) < rank - 1 + len(axes):
            kept = K.expand_dims(kept, -2 * len(axes) - 1)
        # Keras masks in two ways. Where it has one kernel for all, a query that may look nowhere gets the mean of all
        # values; else nothing.
        if not self.dropout and not wants_fractions and rank == 4:
            return K.dot_product_attention(query, key, value, mask=kept, scale=scale), None
        scores = attention_scores(query * scale, key, axes)
        norm_axes = tuple(range(rank - 1, len(scores.shape)))
        fractions = masked_softmax(scores, kept, norm_axes)
        return attention_means(self.drop(fractions), value, axes), fractions

    @staticmethod
    def scale_of(query: Tensor) -> float:
        """Return what the queries of a head are scaled by."""
        size = query.shape[-1]
        assert isinstance(size, int)
        return 1 / math.sqrt(size)

    def drop(self, fractions: Tensor) -> Any:
        """Return the fractions, of which training drops some."""
        if not self.dropout:
            return fractions
        return Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy, name="dropout")(fractions)


class MultiHeadAttention(ProjectedAttention):
    """Attention of several heads, each of projections of query, key and value of its own.

    The other arguments, and those of a call, are those of `ProjectedAttention`.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the inputs' shapes do not fit each other.

    Source: https://keras.io/api/layers/attention_layers/multi_head_attention/
    """

    saved_projections: ClassVar = {
        "query": "query_dense",
        "key": "key_dense",
        "value": "value_dense",
        "gate": "_gate_dense",
        "attention_output": "output_dense",
    }
    # Keras 3.15 looks only at the one that the query carries.
    takes_query_mask = False

    num_heads: Integer = Integer(1, doc="how many")
    key_dim: Integer = Integer(1, doc="the size of a head's queries and keys")
    value_dim: OptionalInteger = OptionalInteger(1, default=None, doc="that of its values; `key_dim` if None")
    dropout: Number = Number(0, 1, default=0.0)
    use_bias: Boolean = Boolean(default=True)
    partial_output_shape: OptionalIntegers = OptionalIntegers(
        1, default=None, alias="output_shape", doc="the last sizes of the output; by default the last of the query"
    )
    attention_axes: OptionalIntegers = OptionalIntegers(
        default=None, doc="the axes that the steps are along; by default all between the batch and the features"
    )
    sliding_window: OptionalInteger = OptionalInteger(1, default=None)
    flash_attention: Unchecked = Unchecked(default=None)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    use_gate: Boolean = Boolean(default=False)
    seed: OptionalInteger = OptionalInteger(default=None)

    def finish_init(self) -> None:
        super().finish_init()
        self.value_dim = self.value_dim or self.key_dim

    @property
    def _step_axes(self) -> tuple[int, ...]:
        """The axes that the steps are along."""
        return self.attention_axes or ()

    def build(self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        """Make the projections, whose sizes depend on the query alone.

        Raises:
            ShapeError: the query has too few axes.
        """
        rank = len(query_shape)
        if rank < 3:
            raise ShapeError(
                f"MultiHeadAttention needs a query (batch, …, features); received {format_shape(query_shape)}"
            )
        axes = range(1, rank - 1) if self.attention_axes is None else self.attention_axes
        self.attention_axes = tuple(axis if axis >= 0 else rank + axis for axis in axes)
        if not self.attention_axes or not set(self.attention_axes) <= set(range(1, rank - 1)):
            raise ShapeError(
                f"MultiHeadAttention received a query of shape {format_shape(query_shape)}; attention_axes="
                f"{self.attention_axes} must be among the axes 1 to {rank - 2}"
            )
        keys, values = (self.num_heads, self.key_dim), (self.num_heads, self.value_dim or self.key_dim)
        self.project(keys, keys, values, self.partial_output_shape or (query_shape[-1],))


class GroupQueryAttention(ProjectedAttention):
    """Attention of several heads of queries, of which groups share the heads of keys and values.

    The other arguments, and those of a call, are those of `ProjectedAttention`.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or num_query_heads no multiple of num_key_value_heads.
        ShapeError: the inputs' shapes do not fit each other.

    Source: https://keras.io/api/layers/attention_layers/group_query_attention/
    """

    saved_projections: ClassVar = {
        "query": "_query_dense",
        "key": "_key_dense",
        "value": "_value_dense",
        "gate": "_gate_dense",
        "attention_output": "_output_dense",
    }
    takes_query_mask = True

    head_dim: Integer = Integer(1, doc="the size of every head")
    num_query_heads: Integer = Integer(1, doc="how many heads of queries")
    num_key_value_heads: Integer = Integer(
        1, doc="how many of keys and values; each serves so many neighbouring ones of the queries"
    )
    dropout: Number = Number(0, 1, default=0.0)
    use_bias: Boolean = Boolean(default=True)
    sliding_window: OptionalInteger = OptionalInteger(1, default=None)
    flash_attention: Unchecked = Unchecked(default=None)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)
    use_gate: Boolean = Boolean(default=False)
    seed: OptionalInteger = OptionalInteger(default=None)

    def finish_init(self) -> None:
        super().finish_init()
        if self.num_query_heads % self.num_key_value_heads:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: num_query_heads must be a multiple of num_key_value_heads; received "
                f"num_query_heads={self.num_query_heads} and num_key_value_heads={self.num_key_value_heads}"
            )

    @property
    def keras_class_name(self) -> str:
        """Keras has the class under another name than the one that it is imported by."""
        return "GroupedQueryAttention"

    def build(self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        """Make the projections, whose sizes depend on the query alone.

        Raises:
            ShapeError: the query does not have three axes.
        """
        if len(query_shape) != 3:
            raise ShapeError(
                f"GroupQueryAttention needs a query (batch, steps, features); received {format_shape(query_shape)}"
            )
        keys = (self.num_key_value_heads, self.head_dim)
        self.project((self.num_query_heads, self.head_dim), keys, keys, (query_shape[-1],))


def _another(initializer: object) -> Any:
    """Return an initializer of the same kind, which draws other numbers unless it has a seed."""
    is_own = isinstance(initializer, initializers.Initializer)
    return initializers.get(initializers.serialize(initializer)) if is_own else initializer


def _require_list(layer: Layer, shapes: object) -> None:
    is_list = isinstance(shapes, list | tuple) and all(isinstance(one, list | tuple) for one in shapes)
    if not isinstance(shapes, list | tuple) or not is_list or not 2 <= len(shapes) <= 3:
        raise InvalidArgumentError(
            f"{type(layer).__name__} takes a list [query, value] or [query, value, key]; received an input of shape "
            f"{shapes}"
        )
