"""Keras's normalization layers.

Source: https://keras.io/api/layers/normalization_layers/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kir import constraints, initializers, regularizers
from kir.arguments import boolean, integer, number, ordered
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers.base import Layer, Weight
from kir.ops import normalization
from kir.ops.elementwise import Cast
from kir.ops.shape import Reshape, Transpose
from kir.trace import Tensor, emit
from kir.types import DType, format_shape, normalize_axis


class ScaledNormalization(Layer):
    """What the normalizations share that end with a trained scale, `gamma`, and a trained shift, `beta`."""

    supports_masking = True
    takes_one_tensor = True

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.epsilon = number(owner, "epsilon", epsilon)
        self.center = boolean(owner, "center", center)
        self.scale = boolean(owner, "scale", scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Weight | None = None
        self.beta: Weight | None = None

    def add_scale_and_shift(self, shape: Any, *, scale: bool, center: bool) -> None:
        """Creates `gamma` and `beta`, as far as they are asked for."""
        if scale:
            self.gamma = self.add_weight(
                "gamma", shape, self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            )
        if center:
            self.beta = self.add_weight(
                "beta", shape, self.beta_initializer, self.beta_regularizer, self.beta_constraint
            )

    def widen(self, x: Tensor) -> Tensor:
        """x in float32 if it has 16 bits, as Keras computes."""
        x = self.promote(x)
        return emit(Cast(DType.FLOAT32), x) if x.type.dtype.itemsize < 4 else x

    def narrow(self, y: Tensor) -> Tensor:
        """y in the dtype that the layer computes in."""
        return self.promote(y)


class BatchNormalization(ScaledNormalization):
    """`(x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta`, for each slice along an axis.

    The moving statistics are those that training left behind. In a training export they are used as well: the
    statistics of a batch change weights, and a file changes none.

    Args:
        axis: of the channels. A list of one is taken for the number in it.
        momentum: of the moving statistics; training alone uses it.
        epsilon: added to the variance.
        center: whether there is a `beta`.
        scale: whether there is a `gamma`.
        moving_mean_initializer: of the mean; likewise `moving_variance_initializer`.
        renorm: batch renormalization in training, with `renorm_clipping` and `renorm_momentum`. It has three more
            weights, and inference does not use them.
        synchronized: across devices, in training.

    Raises:
        InvalidArgumentError: an argument is out of range or of the wrong kind.
        ShapeError: at a call, the input has no such axis or its size is not known, or a mask does not fit.

    Source: https://keras.io/api/layers/normalization_layers/batch_normalization/
    """

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Mapping[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        owner = f"BatchNormalization {self.name!r}"
        # Keras 2 wrote lists.
        self.axis = integer(owner, "axis", axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis)
        self.momentum = number(owner, "momentum", momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm = boolean(owner, "renorm", renorm)
        self.renorm_clipping = _checked_clipping(owner, renorm_clipping, self.renorm)
        self.renorm_momentum = number(owner, "renorm_momentum", renorm_momentum)
        self.synchronized = boolean(owner, "synchronized", synchronized)

    def build(self, input_shape: Any) -> None:
        """`gamma`, `beta`, the moving statistics, and those of renorm, each of one number for each channel."""
        shape = (input_shape[normalize_axis(self.axis, len(input_shape))],)
        self.add_scale_and_shift(shape, scale=self.scale, center=self.center)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self.add_weight("moving_mean", shape, mean, trainable=False)
        self.moving_variance = self.add_weight("moving_variance", shape, variance, trainable=False)
        if self.renorm:
            deviation = _square_root_of(variance)
            self.moving_stddev = self.add_weight("moving_stddev", shape, deviation, trainable=False)
            self.renorm_mean = self.add_weight("renorm_mean", shape, mean, trainable=False)
            self.renorm_stddev = self.add_weight("renorm_stddev", shape, deviation, trainable=False)

    def call(self, x: Tensor, mask: Any = None) -> Any:
        """The mask matters to the statistics of a batch alone; its rank is checked as Keras does."""
        if mask is not None and len(mask.shape) != len(x.shape) - 1:
            raise ShapeError(
                f"BatchNormalization needs a mask with one axis less than its input; received a mask of shape "
                f"{format_shape(mask.shape)} and an input of shape {format_shape(x.shape)}"
            )
        x = self.widen(x)
        channels, dtype = self.moving_mean.shape[0], x.type.dtype
        scale = np.ones(channels, dtype.numpy) if self.gamma is None else self.read(self.gamma, x, dtype)
        bias = np.zeros(channels, dtype.numpy) if self.beta is None else self.read(self.beta, x, dtype)
        statistics = [self.read(weight, x, dtype) for weight in (self.moving_mean, self.moving_variance)]
        op = normalization.BatchNormalization(self.epsilon)
        return self.narrow(_with_axis_second(x, self.axis, lambda x: emit(op, x, scale, bias, *statistics)))


def _with_axis_second(x: Tensor, axis: int, function: Any) -> Tensor:
    """What a function computes of x with an axis in the second place, where ONNX has the channels; moved back."""
    rank = len(x.shape)
    if rank == 1:
        return emit(Reshape(x.shape), function(emit(Reshape((1, *x.shape)), x)))  # type: ignore[no-any-return]
    place = normalize_axis(axis, rank)
    first, *others = (other for other in range(rank) if other != place)
    permutation = (first, place, *others)
    if place == 1:
        return function(x)  # type: ignore[no-any-return]
    result = function(emit(Transpose(permutation), x))
    back = tuple(permutation.index(axis) for axis in range(rank))
    return emit(Transpose(back), result)  # type: ignore[no-any-return]


def _checked_clipping(owner: str, clipping: Any, renorm: bool) -> Any:
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


def _square_root_of(initializer: Any) -> Any:
    """An initializer that gives the square roots of what another gives."""
    return lambda shape, dtype=None: np.sqrt(initializer(shape, dtype=dtype))
