"""Keras's normalization layers.

Source: https://keras.io/api/layers/normalization_layers/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir import backend as K
from kir import initializers
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Sym, product
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, Shape, format_shape, normalize_axes, normalize_axis
from kir.layers.training_mode import TrainingMode
from kir.layers.wrappers import Wrapper, require_layer
from kir.modeling.declared import Axes, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.layer import Layer
from kir.modeling.weight import Weight
from kir.ops import normalization
from kir.ops.elementwise import Cast
from kir.ops.reduce import ReduceSumSquare
from kir.ops.shape import Reshape, Transpose
from kir.support.arguments import integer, number, ordered
from kir.support.declarations import Argument, Boolean, Integer, Number, Unchecked


class ScaledNormalization(DeclaredLayer):
    """The base of the normalizations that end with a trained scale, `gamma`, and a trained shift, `beta`."""

    supports_masking = True
    takes_one_tensor = True

    epsilon = Number(doc="added to the variance")
    center = Boolean(doc="whether there is a `beta`")
    scale = Boolean(doc="whether there is a `gamma`")

    def finish_init(self) -> None:
        self.gamma: Weight | None = None
        self.beta: Weight | None = None

    def add_scale_and_shift(self, shape: Shape, *, scale: bool, center: bool) -> None:
        """Make `gamma` and `beta`, as far as they are asked for."""
        if scale:
            self.gamma = self.weight_of_role("gamma", shape)
        if center:
            self.beta = self.weight_of_role("beta", shape)

    def narrow(self, y: Tensor, x: Tensor) -> Tensor:
        """Return y in the dtype of x, as Keras rounds it, and then in the one that the layer computes in."""
        return self.promote(y if y.type.dtype is x.type.dtype else emit(Cast(x.type.dtype), y))


def _single_axis(owner: str, name: str, given: object) -> int:
    """Return an axis; Keras 2 wrote a list of one."""
    return integer(owner, name, given[0] if isinstance(given, list | tuple) and len(given) == 1 else given)


class BatchNormalization(ScaledNormalization):
    """`(x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta`, for each slice along an axis.

    The moving statistics are those that training left. In a training export they are used as well: the
    statistics of a batch change weights, and a file changes none.

    Raises:
        InvalidArgumentError: an argument is out of range or of the wrong kind.
        ShapeError: at a call, the input has no such axis or its size is not known, or a mask does not fit.

    Source: https://keras.io/api/layers/normalization_layers/batch_normalization/
    """

    limits = "a training export uses the stored statistics"

    axis: Argument[int | Sequence[int], int] = Argument(
        _single_axis, default=-1, doc="of the channels. A list of one is taken for the number in it"
    )
    momentum: Number = Number(default=0.99, doc="of the moving statistics; training alone uses it")
    epsilon: Number = Number(default=1e-3)
    center: Boolean = Boolean(default=True)
    scale: Boolean = Boolean(default=True)
    beta_initializer: Initializer = Initializer(default="zeros")
    gamma_initializer: Initializer = Initializer(default="ones")
    moving_mean_initializer: Initializer = Initializer(
        default="zeros", doc="of the mean; likewise `moving_variance_initializer`"
    )
    moving_variance_initializer: Initializer = Initializer(default="ones")
    beta_regularizer: Regularizer = Regularizer(default=None)
    gamma_regularizer: Regularizer = Regularizer(default=None)
    beta_constraint: Constraint = Constraint(default=None)
    gamma_constraint: Constraint = Constraint(default=None)
    renorm: Boolean = Boolean(
        default=False,
        doc="batch renormalization in training, with `renorm_clipping` and `renorm_momentum`. It has three more "
        "weights, and inference does not use them",
    )
    renorm_clipping: Unchecked = Unchecked(default=None)
    renorm_momentum: Number = Number(default=0.99)
    synchronized: Boolean = Boolean(default=False, doc="across devices, in training")

    def finish_init(self) -> None:
        super().finish_init()
        self.renorm_clipping = _checked_clipping(self.name_in_messages, self.renorm_clipping, self.renorm)

    def build(self, input_shape: Shape) -> None:
        """Make `gamma`, `beta`, the moving statistics, and those of renorm, each of one number for each channel."""
        shape = self.weight_shape(input_shape)
        self.add_scale_and_shift(shape, scale=self.scale, center=self.center)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self.new_weight("moving_mean", shape, mean, trainable=False)
        self.moving_variance = self.new_weight("moving_variance", shape, variance, trainable=False)
        if self.renorm:
            deviation = _square_root_of(variance)
            self.moving_stddev = self.new_weight("moving_stddev", shape, deviation, trainable=False)
            self.renorm_mean = self.new_weight("renorm_mean", shape, mean, trainable=False)
            self.renorm_stddev = self.new_weight("renorm_stddev", shape, deviation, trainable=False)

    def weight_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of each weight: one number for each channel."""
        return (input_shape[normalize_axis(self.axis, len(input_shape))],)

    def call(self, inputs: Tensor, training: TrainingMode = None, mask: Tensor | None = None) -> Any:
        """Normalize. The mask matters to the statistics of a batch alone; its rank is checked as Keras does."""
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ShapeError(
                f"BatchNormalization needs a mask with one axis less than its input; received a mask of shape "
                f"{format_shape(mask.shape)} and an input of shape {format_shape(inputs.shape)}"
            )
        inputs = _widen(self.promote(inputs))
        channels, dtype = self.moving_mean.shape[0], inputs.type.dtype
        scale = np.ones(channels, dtype.numpy) if self.gamma is None else self.read(self.gamma, inputs, dtype)
        bias = np.zeros(channels, dtype.numpy) if self.beta is None else self.read(self.beta, inputs, dtype)
        statistics = [self.read(weight, inputs, dtype) for weight in (self.moving_mean, self.moving_variance)]
        op = normalization.BatchNormalization(self.epsilon)
        return self.promote(_with_axis_second(inputs, self.axis, lambda x: emit(op, x, scale, bias, *statistics)))


class LayerNormalization(ScaledNormalization):
    """Mean 0 and variance 1 along axes, for each sample by itself, then `· gamma + beta`.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: at a call, the input has no such axis, or the size of one with weights is not known.

    Source: https://keras.io/api/layers/normalization_layers/layer_normalization/
    """

    axis: Axes = Axes(default=-1, doc="one or several; their sizes are those of `gamma` and `beta`")
    epsilon: Number = Number(default=1e-3)
    center: Boolean = Boolean(default=True)
    scale: Boolean = Boolean(default=True)
    beta_initializer: Initializer = Initializer(default="zeros")
    gamma_initializer: Initializer = Initializer(default="ones")
    beta_regularizer: Regularizer = Regularizer(default=None)
    gamma_regularizer: Regularizer = Regularizer(default=None)
    beta_constraint: Constraint = Constraint(default=None)
    gamma_constraint: Constraint = Constraint(default=None)
    rms_scaling: Boolean = Boolean(
        default=False,
        doc="of Keras before 3.10: the input is divided by its deviation without being centered, and there is no "
        "`beta`",
    )

    def finish_init(self) -> None:
        super().finish_init()
        self.autocast = False

    def build(self, input_shape: Shape) -> None:
        """Make `gamma` and `beta`, of the sizes of the axes."""
        axes = self.axis = _listed(self.axis)
        self._axes = normalize_axes(axes, len(input_shape))
        if self.scale or self.center or self.rms_scaling:
            # As in Keras, in the order in which the axes were given: -1 comes before 1.
            shape = tuple(input_shape[axis] for axis in axes)
            self.add_scale_and_shift(
                shape, scale=self.scale or self.rms_scaling, center=self.center and not self.rms_scaling
            )

    def call(self, inputs: Tensor) -> Any:
        wide = _widen(inputs)
        axes = self._axes
        if self.rms_scaling:
            result = wide * K.rsqrt(K.var(wide, axes, keepdims=True) + self.epsilon) * self._placed(self.gamma, wide)
        elif any(isinstance(wide.shape[axis], Sym) for axis in axes):
            # Nothing says how many ones ONNX's scale would have; there are no weights then.
            centered = wide - K.mean(wide, axes, keepdims=True)
            result = centered / K.sqrt(K.mean(centered * centered, axes, keepdims=True) + self.epsilon)
        else:
            result = self._normalize(wide)
        return self.narrow(result, inputs)

    def _normalize(self, x: Tensor) -> Tensor:
        """Return the LayerNormalization of x with the axes moved to the end."""
        rank, axes = len(x.shape), self._axes
        permutation = (*(axis for axis in range(rank) if axis not in axes), *axes)
        sizes = tuple(x.shape[axis] for axis in axes)
        scale, bias = (
            None if weight is None else emit(Reshape(sizes), self._placed(weight, x))
            for weight in (self.gamma, self.beta)
        )
        if scale is None:
            scale = np.ones(sizes, x.type.dtype.numpy)
        op = normalization.LayerNormalization(rank - len(axes), self.epsilon)
        return _transposed(x, permutation, lambda x: emit(op, x, scale, *([] if bias is None else [bias])))

    def _placed(self, weight: Weight | None, x: Tensor) -> Any:
        """Return a weight in a shape that broadcasts to that of x."""
        if weight is None:
            return 1.0
        shape = tuple(size if axis in self._axes else 1 for axis, size in enumerate(x.shape))
        return emit(Reshape(shape), self.read(weight, x, x.type.dtype))


class GroupNormalization(ScaledNormalization):
    """Mean 0 and variance 1 for each group of channels of each sample, then `· gamma + beta` for each channel.

    Raises:
        InvalidArgumentError: an argument is out of range or of the wrong kind.
        ShapeError: at a call, the input has no such axis, or the groups do not divide it.

    Source: https://keras.io/api/layers/normalization_layers/group_normalization/
    """

    groups: Integer = Integer(
        -1, default=32, doc="how many, a divisor of the number of channels; -1 makes every channel a group"
    )
    axis: Integer = Integer(default=-1, doc="of the channels")
    epsilon: Number = Number(default=1e-3)
    center: Boolean = Boolean(default=True)
    scale: Boolean = Boolean(default=True)
    beta_initializer: Initializer = Initializer(default="zeros")
    gamma_initializer: Initializer = Initializer(default="ones")
    beta_regularizer: Regularizer = Regularizer(default=None)
    gamma_regularizer: Regularizer = Regularizer(default=None)
    beta_constraint: Constraint = Constraint(default=None)
    gamma_constraint: Constraint = Constraint(default=None)

    def finish_init(self) -> None:
        super().finish_init()
        self.autocast = False
        if self.groups == 0:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: groups must be at least 1, or -1 for one per channel; received groups=0"
            )

    def build(self, input_shape: Shape) -> None:
        """Make `gamma` and `beta`, of one number for each channel."""
        axis = normalize_axis(self.axis, len(input_shape))
        channels = input_shape[axis]
        if axis == 0 or not isinstance(channels, int):
            raise ShapeError(
                f"GroupNormalization needs channels of a known number after the batch; received axis={self.axis} and "
                f"an input of shape {format_shape(input_shape)}"
            )
        self.groups = channels if self.groups == -1 else self.groups
        if channels % self.groups or not channels:
            raise ShapeError(
                f"GroupNormalization cannot make {self.groups} groups of {channels} channels; expected a divisor of "
                f"{channels}, or -1 for one group per channel"
            )
        self.channels = channels
        self.add_scale_and_shift((channels,), scale=self.scale, center=self.center)

    def call(self, inputs: Tensor) -> Any:
        return self.narrow(_with_axis_second(_widen(inputs), self.axis, self._normalize), inputs)

    def _normalize(self, x: Tensor) -> Any:
        """Normalize channels in the second place with InstanceNormalization, onnxruntime's fastest, of the groups."""
        batch, _, *sizes = x.shape
        channels, dtype = self.channels, x.type.dtype
        gamma, beta = (None if weight is None else self.read(weight, x, dtype) for weight in (self.gamma, self.beta))
        op = normalization.InstanceNormalization(self.epsilon)
        if self.groups == channels and sizes:
            scale = np.ones(channels, dtype.numpy) if gamma is None else gamma
            return emit(op, x, scale, np.zeros(channels, dtype.numpy) if beta is None else beta)
        each = self.channels // self.groups
        ones, zeros = np.ones(self.groups, dtype.numpy), np.zeros(self.groups, dtype.numpy)
        y = emit(op, emit(Reshape((batch, self.groups, product((each, *sizes)))), x), ones, zeros)
        y = emit(Reshape(x.shape), y)
        column = (channels, *(1,) * len(sizes))
        y = y if gamma is None else y * emit(Reshape(column), gamma)
        return y if beta is None else y + emit(Reshape(column), beta)


class RMSNormalization(DeclaredLayer):
    """`x / sqrt(mean(x²) + epsilon) * scale`, with the mean along axes.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: at a call, the input has no such axis, its size is not known, or the scale does not broadcast.

    Source: https://keras.io/api/layers/normalization_layers/rms_normalization/
    """

    takes_one_tensor = True

    axis: Axes = Axes(default=-1, doc="one or several")
    epsilon: Number = Number(default=1e-6, doc="added to the mean")

    def build(self, input_shape: Shape) -> None:
        """Make the scale, of the sizes of the axes."""
        axes = self.axis = _listed(self.axis)
        self._axes = normalize_axes(axes, len(input_shape))
        self.scale = self.new_weight("scale", tuple(input_shape[axis] for axis in axes), "ones")

    def call(self, x: Tensor) -> Any:
        """Normalize with five operators: √n is part of the scale, and the sum of squares need not be divided by n."""
        given, x = x.type.dtype, self.promote(x)
        wide = _widen(x)
        count = self.scale.size
        total = emit(ReduceSumSquare(self._axes, True), wide)
        root = np.asarray(math.sqrt(count), wide.type.dtype.numpy)
        scale = self.read(self.scale, x, wide.type.dtype) * root
        # Keras gives back the dtype that it was given, so that integers lose their fraction.
        return K.cast(wide / K.sqrt(total + self.epsilon * count) * scale, given)


class UnitNormalization(DeclaredLayer):
    """The input divided by its Euclidean norm along axes.

    Raises:
        InvalidArgumentError: axis is no integer, nor a list of such.
        ShapeError: at a call, the input has no such axis.

    Source: https://keras.io/api/layers/normalization_layers/unit_normalization/
    """

    supports_masking = True
    takes_one_tensor = True

    axis: Axes = Axes(default=-1, doc="one or several")

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        return K.normalize(inputs, normalize_axes(_listed(self.axis), len(inputs.shape)), epsilon=1e-12)


class SpectralNormalization(Wrapper):
    """A layer whose kernel training keeps at spectral norm 1.

    Training divides the kernel itself, so that at inference the layer is the one inside. A training export has it as
    it is, too: the division changes weights, and a file changes none.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.

    Source: https://keras.io/api/layers/normalization_layers/spectral_normalization/
    """

    limits = "a training export leaves the kernel as it is"

    layer: Argument[Layer, Layer] = Argument(require_layer, doc="a layer with a kernel, or with embeddings")
    power_iterations: Integer = Integer(1, default=1, doc="how often training refines its estimate of the norm")

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the vector that training multiplies the kernel with, once the layer inside is built."""
        self.layer.ensure_built(input_shape)
        kernel = getattr(self.layer, "kernel", None) or getattr(self.layer, "embeddings", None)
        if not isinstance(kernel, Weight):
            raise InvalidArgumentError(
                f"SpectralNormalization needs a layer with a kernel or with embeddings; received "
                f"{type(self.layer).__name__} {self.layer.name!r}, which has neither"
            )
        # Keras counts the kernel among the weights of both layers, and files have it twice.
        self._own_weights.append(kernel)
        initializer = initializers.TruncatedNormal(stddev=0.02)
        self.vector_u = self.new_weight(
            "vector_u", (1, kernel.shape[-1]), initializer, trainable=False, dtype=kernel.dtype
        )

    def call(self, inputs: Tensor) -> Any:
        y = self.layer.trace(inputs)
        return y if y.type.dtype is inputs.type.dtype else emit(Cast(inputs.type.dtype), y)


def _widen(x: Tensor) -> Tensor:
    """Return x in float32 if it has 16 bits, or is no float, as Keras computes."""
    is_wide = x.type.dtype.is_float and x.type.dtype.itemsize >= 4
    return x if is_wide else emit(Cast(DType.FLOAT32), x)


def _with_axis_second(x: Tensor, axis: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function computes of x with an axis in the second place, ONNX's for channels; moved back."""
    if len(x.shape) == 1:
        return emit(Reshape(x.shape), function(emit(Reshape((1, *x.shape)), x)))
    place = normalize_axis(axis, len(x.shape))
    first, *others = (other for other in range(len(x.shape)) if other != place)
    return _transposed(x, (first, place, *others), function)


def _transposed(x: Tensor, permutation: tuple[int, ...], function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function computes of x with its axes in another order, in the order of x again."""
    if list(permutation) == sorted(permutation):
        return function(x)
    result = function(emit(Transpose(permutation), x))
    back = tuple(permutation.index(axis) for axis in range(len(permutation)))
    return emit(Transpose(back), result)


def _listed(axis: int | list[int]) -> list[int]:
    """Return the axes as Keras has them once a layer is built: a list, in order."""
    return sorted(axis) if isinstance(axis, list) else [axis]


def _checked_clipping(owner: str, clipping: object, renorm: bool) -> Any:
    if not renorm:
        return clipping
    limits = clipping or {}
    if not isinstance(limits, Mapping) or not set(limits) <= {"rmax", "rmin", "dmax"}:
        raise InvalidArgumentError(
            f"{owner}: renorm_clipping must be a dict of rmax, rmin and dmax; received renorm_clipping={clipping!r}"
        )
    checked = {key: number(owner, f"renorm_clipping[{key!r}]", limit) for key, limit in limits.items()}
    if "rmin" in checked and "rmax" in checked:
        ordered(owner, "rmin", checked["rmin"], "rmax", checked["rmax"])
    if "dmax" in checked:
        number(owner, "renorm_clipping['dmax']", checked["dmax"], 0)
    return dict(limits)


def _square_root_of(initializer: Callable[..., Array]) -> Any:
    """Return an initializer that gives the square roots of what another gives."""
    return lambda shape, dtype=None: np.sqrt(initializer(shape, dtype=dtype))
