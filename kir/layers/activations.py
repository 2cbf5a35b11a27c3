"""Keras's activation layers.

Source: https://keras.io/api/layers/activation_layers/
"""

from __future__ import annotations

from typing import Any

from kir import activations, constraints, initializers, regularizers
from kir import backend as K
from kir.errors import ShapeError
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, Shape, format_shape
from kir.modeling.layer import Layer
from kir.modeling.user_functions import call_function
from kir.ops.elementwise import PRelu
from kir.support.arguments import integer, integers, number


class Activation(Layer):
    """An activation function applied to the input, whose shape it keeps (`glu` halves an axis).

    Args:
        activation: a name of `kir.activations`, or a function of one tensor, which is traced like a Lambda's.

    Raises:
        InvalidArgumentError: there is no such activation.
        TraceError: the function cannot be traced.

    Source: https://keras.io/api/layers/core_layers/activation/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Any:
        return call_function("activation", self.activation, inputs)


class ReLU(Layer):
    """`max(x, 0)`; with the arguments, what `kir.backend.relu` makes of them.

    Args:
        max_value: the largest result, of at least 0; None for no bound.
        negative_slope: at least 0; of the part below the threshold.
        threshold: at least 0; up to it x counts as negative.

    Raises:
        InvalidArgumentError: an argument is negative or no number.

    Source: https://keras.io/api/layers/activation_layers/relu/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = f"ReLU {self.name!r}"
        self.max_value = None if max_value is None else number(owner, "max_value", max_value, 0)
        self.negative_slope = number(owner, "negative_slope", negative_slope, 0)
        self.threshold = number(owner, "threshold", threshold, 0)

    def call(self, inputs: Tensor) -> Any:
        return K.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """`x` from 0 on, `negative_slope * x` below.

    Args:
        negative_slope: at least 0. Keras 2 calls it `alpha`, which is taken too.

    Raises:
        InvalidArgumentError: it is negative or no number.

    Source: https://keras.io/api/layers/activation_layers/leaky_relu/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        self.negative_slope = number(f"LeakyReLU {self.name!r}", "negative_slope", negative_slope, 0)

    def call(self, inputs: Tensor) -> Any:
        return K.leaky_relu(inputs, self.negative_slope)


class PReLU(Layer):
    """`x` from 0 on, `alpha * x` below, with a weight alpha for every element of a sample.

    Args:
        shared_axes: axes, counted from 1 without the batch, along which all elements have one alpha. An axis of
            unknown size must be among them.

    Raises:
        InvalidArgumentError: an axis is no integer.
        ShapeError: an axis is out of range, or alpha would have a size that is not known.

    Source: https://keras.io/api/layers/activation_layers/prelu/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = (
            None if shared_axes is None else integers(f"PReLU {self.name!r}", "shared_axes", shared_axes, 1)
        )

    def build(self, input_shape: Any) -> None:
        """An alpha of the shape of a sample, with 1 on the shared axes."""
        shared = self.shared_axes or ()
        if any(axis >= len(input_shape) for axis in shared):
            raise ShapeError(
                f"PReLU received an input of shape {format_shape(input_shape)}; shared_axes={shared} must be axes of "
                f"it, from 1 to {len(input_shape) - 1}"
            )
        sizes = tuple(1 if axis in shared else size for axis, size in enumerate(input_shape))
        self.alpha = self.new_weight(
            "alpha", sizes[1:], self.alpha_initializer, self.alpha_regularizer, self.alpha_constraint
        )

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        return emit(PRelu(), inputs, self.read(self.alpha, inputs))


class ELU(Layer):
    """`x` from 0 on, `alpha * (exp(x) - 1)` below.

    Raises:
        InvalidArgumentError: alpha is no number.

    Source: https://keras.io/api/layers/activation_layers/elu/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = number(f"ELU {self.name!r}", "alpha", alpha)

    def call(self, inputs: Tensor) -> Any:
        return K.elu(inputs, self.alpha)


# What a masked element counts as: as good as -inf, and still a number in the dtype.
MASKED = -1e9
MASKED_FLOAT16 = -3e4


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along an axis, or over several together.

    Where the mask is false x is left out, and the result is 0. Unlike that of most layers, the mask is one of the
    elements: it broadcasts to the input from its last axis on.

    Args:
        axis: one, or a list of them; may count from the end.

    Raises:
        InvalidArgumentError: an axis is no integer.
        ShapeError: an axis is out of range, or the mask does not broadcast to the input.

    Source: https://keras.io/api/layers/activation_layers/softmax/
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"Softmax {self.name!r}"
        self.axis = (
            list(integers(owner, "axis", axis)) if isinstance(axis, list | tuple) else integer(owner, "axis", axis)
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return K.softmax(inputs, self.axis)
        _require_broadcast(mask.shape, inputs.shape)
        return masked_softmax(inputs, mask if mask.type.dtype is DType.BOOL else K.greater(mask, 0.5), self.axis)


def masked_softmax(x: Tensor, kept: Tensor | None, axis: Any) -> Any:
    """The softmax of what is kept, and 0 elsewhere."""
    if kept is None:
        return K.softmax(x, axis)
    masked = MASKED_FLOAT16 if x.type.dtype is DType.FLOAT16 else MASKED
    return K.where(kept, K.softmax(K.where(kept, x, masked), axis), 0)


def _require_broadcast(mask: Shape, given: Shape) -> None:
    pairs = zip(reversed(mask), reversed(given), strict=False)
    fits = all(a in (1, b) or (b != 1 and not (isinstance(a, int) and isinstance(b, int))) for a, b in pairs)
    if len(mask) > len(given) or not fits:
        raise ShapeError(
            f"Softmax received an input of shape {format_shape(given)} and a mask of shape {format_shape(mask)}; "
            f"expected a mask that broadcasts to the input: each of its sizes 1 or that of the input"
        )
