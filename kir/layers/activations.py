"""Keras's activation layers.

Source: https://keras.io/api/layers/activation_layers/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import backend as K
from kir.errors import ShapeError
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, Shape, format_shape
from kir.modeling.declared import ActivationFunction, Axes, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.user_functions import call_function
from kir.ops.elementwise import PRelu
from kir.support.declarations import Number, OptionalIntegers, OptionalNumber


class Activation(DeclaredLayer):
    """An activation function applied to the input, whose shape it keeps (`glu` halves an axis).

    Raises:
        InvalidArgumentError: there is no such activation.
        TraceError: the function cannot be traced.

    Source: https://keras.io/api/layers/core_layers/activation/
    """

    supports_masking = True
    takes_one_tensor = True

    activation: ActivationFunction = ActivationFunction(
        doc="a name of `kir.activations`, or a function of one tensor, which is traced like a Lambda's"
    )

    def call(self, inputs: Tensor) -> Any:
        return call_function("activation", self.activation, inputs)


class ReLU(DeclaredLayer):
    """`max(x, 0)`; with the arguments, what `kir.backend.relu` makes of them.

    Raises:
        InvalidArgumentError: an argument is negative or no number.

    Source: https://keras.io/api/layers/activation_layers/relu/
    """

    supports_masking = True
    takes_one_tensor = True

    max_value: OptionalNumber = OptionalNumber(
        0, default=None, doc="the largest result, of at least 0; None for no bound"
    )
    negative_slope: Number = Number(0, default=0.0, doc="at least 0; of the part below the threshold")
    threshold: Number = Number(0, default=0.0, doc="at least 0; up to it x counts as negative")

    def call(self, inputs: Tensor) -> Any:
        return K.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(DeclaredLayer):
    """`x` from 0 on, `negative_slope * x` below.

    Raises:
        InvalidArgumentError: it is negative or no number.

    Source: https://keras.io/api/layers/activation_layers/leaky_relu/
    """

    supports_masking = True
    takes_one_tensor = True

    negative_slope: Number = Number(0, default=0.3, doc="at least 0. Keras 2 calls it `alpha`, which is taken too")

    def read_old_names(self, given: dict[str, object]) -> None:
        if "alpha" in given:
            given["negative_slope"] = given.pop("alpha")

    def call(self, inputs: Tensor) -> Any:
        return K.leaky_relu(inputs, self.negative_slope)


class PReLU(DeclaredLayer):
    """`x` from 0 on, `alpha * x` below, with a weight alpha for every element of a sample.

    Raises:
        InvalidArgumentError: an axis is no integer.
        ShapeError: an axis is out of range, or alpha would have a size that is not known.

    Source: https://keras.io/api/layers/activation_layers/prelu/
    """

    supports_masking = True
    takes_one_tensor = True

    alpha_initializer: Initializer = Initializer(default="Zeros")
    alpha_regularizer: Regularizer = Regularizer(default=None)
    alpha_constraint: Constraint = Constraint(default=None)
    shared_axes: OptionalIntegers = OptionalIntegers(
        1,
        default=None,
        doc="axes, counted from 1 without the batch, along which all elements have one alpha. An axis of unknown "
        "size must be among them",
    )

    def build(self, input_shape: Shape) -> None:
        """Make an alpha of the shape of a sample, with 1 on the shared axes."""
        shared = self.shared_axes or ()
        if any(axis >= len(input_shape) for axis in shared):
            raise ShapeError(
                f"PReLU received an input of shape {format_shape(input_shape)}; shared_axes={shared} must be axes of "
                f"it, from 1 to {len(input_shape) - 1}"
            )
        sizes = tuple(1 if axis in shared else size for axis, size in enumerate(input_shape))
        self.alpha = self.weight_of_role("alpha", sizes[1:])

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        return emit(PRelu(), inputs, self.read(self.alpha, inputs))


class ELU(DeclaredLayer):
    """`x` from 0 on, `alpha * (exp(x) - 1)` below.

    Raises:
        InvalidArgumentError: alpha is no number.

    Source: https://keras.io/api/layers/activation_layers/elu/
    """

    supports_masking = True
    takes_one_tensor = True

    alpha: Number = Number(default=1.0)

    def call(self, inputs: Tensor) -> Any:
        return K.elu(inputs, self.alpha)


# The input of a masked element: as good as -inf, and still a number in the dtype.
MASKED = -1e9
MASKED_FLOAT16 = -3e4


class Softmax(DeclaredLayer):
    """`exp(x) / sum(exp(x))` along an axis, or over several together.

    Where the mask is false x is left out, and the result is 0. Unlike that of most layers, the mask is one of the
    elements: it broadcasts to the input from its last axis on.

    Raises:
        InvalidArgumentError: an axis is no integer.
        ShapeError: an axis is out of range, or the mask does not broadcast to the input.

    Source: https://keras.io/api/layers/activation_layers/softmax/
    """

    supports_masking = True
    takes_one_tensor = True

    axis: Axes = Axes(default=-1, doc="one, or a list of them; may count from the end")

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return K.softmax(inputs, self.axis)
        _require_broadcast(mask.shape, inputs.shape)
        return masked_softmax(inputs, mask if mask.type.dtype is DType.BOOL else K.greater(mask, 0.5), self.axis)


def masked_softmax(x: Tensor, kept: Tensor | None, axis: int | Sequence[int]) -> Any:
    """Return the softmax of what is kept, and 0 elsewhere."""
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
