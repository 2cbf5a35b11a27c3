"""Keras's initializers: the first values of weights, as NumPy arrays.

Each is called with a shape and a dtype (anything that `kir.ir.types.as_dtype` takes; None is `kir.config.floatx()`).
With an integer seed the values are those of Keras's NumPy backend, bit for bit. Without one, the seed is the next of
`kir.config.take_seed()`, taken when the initializer is made: a script builds the same weights at every run. As in
Keras, an initializer that is called twice gives the same values twice.

Source: https://keras.io/api/layers/initializers/
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from kir import config
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Array
from kir.ir.types import DTypeLike, as_dtype
from kir.modeling.registry import Configurable, Registry
from kir.ops.spectral import make_window
from kir.support.arguments import boolean, choice, integers, number, ordered

Seed: TypeAlias = int | Mapping[str, Any] | None
Axes: TypeAlias = Sequence[int] | None

FAN_MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")

# The standard deviation of a standard normal distribution cut off at -2 and 2. Dividing by it makes up for the
# narrowing that the truncation causes.
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


class Initializer(Configurable, ABC):
    """The base of all initializers. A subclass defines `__call__`, and keeps its arguments under their own names."""

    @abstractmethod
    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> Array:
        """Return an array of this shape and dtype."""


class _KerasInitializer(Initializer):
    """The base of Keras's own initializers, which say what the values are and leave the dtype to this class."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> Array:
        return self._values(_sizes(shape)).astype(_numpy_dtype(dtype), order="C")

    def _values(self, sizes: tuple[int, ...]) -> Array:
        """Return the values of an array of these sizes, in any dtype."""
        raise TypeError(f"{type(self).__name__} must define __call__")


class Zeros(_KerasInitializer):
    """All zeros."""

    def _values(self, sizes: tuple[int, ...]) -> Array:
        return np.broadcast_to(0, sizes)


class Ones(_KerasInitializer):
    """All ones."""

    def _values(self, sizes: tuple[int, ...]) -> Array:
        return np.broadcast_to(1, sizes)


class Constant(_KerasInitializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Raises:
        InvalidArgumentError: the value is neither a number, nor an array or nested list of numbers.

    Raises, when called:
        ShapeError: the array does not broadcast to the shape.
    """

    def __init__(self, value: npt.ArrayLike = 0.0) -> None:
        _check_numeric("Constant", value)
        self.value = value

    def _values(self, sizes: tuple[int, ...]) -> Array:
        try:
            return np.broadcast_to(self.value, sizes)
        except ValueError as error:
            raise ShapeError(
                f"Constant: a value of shape {np.shape(self.value)} does not broadcast to shape {sizes}"
            ) from error


class Identity(_KerasInitializer):
    """The identity matrix times `gain`; only for shapes of rank 2, which need not be square.

    Raises, when called:
        ShapeError: the shape is not of rank 2.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("Identity", "gain", gain)

    def _values(self, sizes: tuple[int, ...]) -> Array:
        if len(sizes) != 2:
            raise ShapeError(f"Identity: the shape must be of rank 2, but it is {sizes}")
        return self.gain * np.eye(*sizes)

    def get_config(self) -> dict[str, Any]:
        # Keras 3 loses `gain` when it saves an Identity, but accepts it when it loads one.
        return {} if self.gain == 1.0 else super().get_config()


class STFT(_KerasInitializer):
    """Kernels of (frame_length, 1, frequencies) that transform frames of a signal into their spectrum.

    Args:
        side: "real" or "imag".
        window: a window's name, frame_length numbers, or None; see `kir.ops.spectral.make_window`.
        scaling: "density" or "spectrum", by the window's L2 or L1 norm, or None.
        periodic: whether a named window is one period.

    Raises:
        InvalidArgumentError: an argument is none of these.

    Raises, when called:
        ShapeError: the shape is not of rank 3.
    """

    def __init__(
        self,
        side: str = "real",
        window: str | npt.ArrayLike | None = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        self.side = choice("STFT", "side", side, ("real", "imag"))
        self.window = window
        self.scaling = choice("STFT", "scaling", scaling, ("density", "spectrum", None))
        self.periodic = boolean("STFT", "periodic", periodic)
        make_window("STFT", window if isinstance(window, str) else None, 1, self.periodic)

    def _values(self, sizes: tuple[int, ...]) -> Array:
        if len(sizes) != 3:
            raise ShapeError(f"STFT: the shape must be of rank 3, (frame_length, 1, frequencies), but it is {sizes}")
        length, _, frequencies = sizes
        fft_length = max(2 * (frequencies - 1), 1)
        angle = -2 * np.pi * np.outer(np.arange(length), np.arange(frequencies) / fft_length)
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            window = make_window("STFT", self.window, length, self.periodic)
            norm = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(np.abs(window))}.get(self.scaling, 1.0)
            kernel = kernel * window[:, None] / norm
        return kernel[:, None]


class RandomInitializer(_KerasInitializer):
    """The base of the initializers that draw.

    Args:
        seed: an integer, of which the low 32 bits count; None for the next default seed; or the config dict that Keras
            saves for a `SeedGenerator`, which counts as its initial seed (every call then draws the same values).
    """

    def __init__(self, seed: Seed = None) -> None:
        self.seed = seed
        self._draw_seed = _seed_source(type(self).__name__, seed)

    def _generator(self) -> np.random.Generator:
        # Keras makes a generator from the seed and a call counter that stays 0 for an integer seed.
        return np.random.default_rng([self._draw_seed(), 0])

    def _normal(self, sizes: tuple[int, ...], mean: float, stddev: float) -> Array:
        return self._generator().normal(mean, stddev, sizes)

    def _uniform(self, sizes: tuple[int, ...], minval: float, maxval: float) -> Array:
        return self._generator().uniform(minval, maxval, sizes)

    def _truncated_normal(self, sizes: tuple[int, ...], mean: float, stddev: float) -> Array:
        """Draw normal values, each again until it lies within two standard deviations of the mean."""
        generator = self._generator()
        size = math.prod(sizes)
        drawn = np.empty(0)
        while len(drawn) < size:  # each round keeps 95 % of `size` values, so two nearly always suffice
            candidates = generator.normal(mean, stddev, size)
            inside = (candidates >= mean - 2 * stddev) & (candidates <= mean + 2 * stddev)
            drawn = np.append(drawn, candidates[inside])
        return drawn[:size].reshape(sizes)


class _NormalInitializer(RandomInitializer):
    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        owner = type(self).__name__
        self.mean = number(owner, "mean", mean)
        self.stddev = number(owner, "stddev", stddev, 0)
        super().__init__(seed)


class RandomNormal(_NormalInitializer):
    """Independent normal values."""

    def _values(self, sizes: tuple[int, ...]) -> Array:
        return self._normal(sizes, self.mean, self.stddev)


class TruncatedNormal(_NormalInitializer):
    """Independent normal values within two `stddev` of the mean; `stddev` is meant before the truncation."""

    def _values(self, sizes: tuple[int, ...]) -> Array:
        return self._truncated_normal(sizes, self.mean, self.stddev)


class RandomUniform(RandomInitializer):
    """Independent values, uniform from `minval` to `maxval`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        self.minval = number("RandomUniform", "minval", minval)
        self.maxval = number("RandomUniform", "maxval", maxval)
        ordered("RandomUniform", "minval", minval, "maxval", maxval)
        super().__init__(seed)

    def _values(self, sizes: tuple[int, ...]) -> Array:
        return self._uniform(sizes, self.minval, self.maxval)


class VarianceScaling(RandomInitializer):
    """Independent values of mean 0 and variance `scale / n`, where n is the number of inputs or outputs of a unit.

    Args:
        scale: positive.
        mode: what n is: "fan_in", "fan_out", or their mean "fan_avg"; at least 1 in any case.
        distribution: "uniform", "untruncated_normal", or "truncated_normal" (also called "normal"), whose standard
            deviation is corrected for the truncation.
        input_axes, output_axes: the axes whose sizes multiply to the fans, if both are given; see `compute_fans`.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed = None,
        input_axes: Axes = None,
        output_axes: Axes = None,
    ) -> None:
        owner = type(self).__name__
        self.scale = number(owner, "scale", scale, 0)
        if self.scale == 0:
            raise InvalidArgumentError(f"{owner}: scale must be positive; received scale={scale!r}")
        self.mode = choice(owner, "mode", mode, FAN_MODES)
        lowered = str(distribution).lower()
        self.distribution = choice(
            owner, "distribution", "truncated_normal" if lowered == "normal" else lowered, DISTRIBUTIONS
        )
        for name, axes in (("input_axes", input_axes), ("output_axes", output_axes)):
            if axes is not None:
                integers(owner, name, axes, single=False)
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed)

    def _values(self, sizes: tuple[int, ...]) -> Array:
        fan_in, fan_out = compute_fans(sizes, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return self._uniform(sizes, -limit, limit)
        if self.distribution == "untruncated_normal":
            return self._normal(sizes, 0.0, math.sqrt(variance))
        return self._truncated_normal(sizes, 0.0, math.sqrt(variance) / TRUNCATED_STANDARD_DEVIATION)


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` that bears its inventors' name; `scaling` has its first three arguments."""

    scaling: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(*self.scaling, seed, input_axes, output_axes)


class GlorotUniform(_NamedScaling):
    """Uniform within ±sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""

    scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out). Source: Glorot and Bengio, 2010."""

    scaling = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform within ±sqrt(3 / fan_in). Source: Klambauer et al., 2017."""

    scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal of variance 1 / fan_in. Source: Klambauer et al., 2017."""

    scaling = (1.0, "fan_in", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform within ±sqrt(6 / fan_in). Source: He et al., 2015."""

    scaling = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of variance 2 / fan_in. Source: He et al., 2015."""

    scaling = (2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    A shape of higher rank is filled from the matrix of its last axis against all others. Source: Saxe et al., 2014.

    Raises, when called:
        ShapeError: the shape's rank is below 2.
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        self.gain = number("Orthogonal", "gain", gain)
        super().__init__(seed)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> Array:
        sizes = _sizes(shape)
        if len(sizes) < 2:
            raise ShapeError(f"Orthogonal: the shape must be of rank 2 or more, but it is {sizes}")
        target = _numpy_dtype(dtype)
        # LAPACK computes in float32 and float64 only.
        working = np.float64 if target == np.float64 else np.float32
        matrix = self._orthonormal(math.prod(sizes[:-1]), sizes[-1], working)
        return (float(self.gain) * matrix.reshape(sizes)).astype(target)

    def _orthonormal(self, rows: int, columns: int, dtype: type[np.floating[Any]]) -> Array:
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(self._normal(tall, 0.0, 1.0).astype(dtype))
        # QR is unique, and q uniformly distributed, only once the signs of r's diagonal are fixed.
        q *= np.sign(np.diag(r))
        return q.T if rows < columns else q


def compute_fans(shape: Sequence[int], input_axes: Axes = None, output_axes: Axes = None) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a unit whose weights have this shape.

    1. Both `input_axes` and `output_axes` are given: the products of those sizes.
    2. Rank 0: (1, 1).
    3. Rank 1: (n, n).
    4. Rank 2: (inputs, outputs), a Dense kernel.
    5. Rank 3 and more: a convolution kernel, (…window, inputs, outputs); both are multiplied by the window's size.

    Raises:
        ShapeError: the shape lacks a named axis.
    """
    sizes = _sizes(shape)
    if input_axes is not None and output_axes is not None:
        return _product_over(sizes, input_axes), _product_over(sizes, output_axes)
    if len(sizes) == 0:
        return 1, 1
    if len(sizes) == 1:
        return sizes[0], sizes[0]
    window = math.prod(sizes[:-2])
    return sizes[-2] * window, sizes[-1] * window


def get(identifier: object) -> Callable[..., Any] | None:
    """Return the initializer that a layer's argument means.

    Args:
        identifier: None, a name ("glorot_uniform", "GlorotUniform"), a config dict, an `Initializer` or a subclass, any
            callable of `(shape, dtype)`, or a NumPy array, which then is the value for exactly its own shape.

    Raises:
        InvalidArgumentError: nothing of that name exists, or the argument is none of these.
    """
    if isinstance(identifier, (np.ndarray, np.generic)):
        return _always(np.asarray(identifier))
    return _REGISTRY.get(identifier)


def _always(values: Array) -> Callable[..., Array]:
    def given_array(shape: Sequence[int], dtype: DTypeLike | None = None) -> Array:
        if _sizes(shape) != values.shape:
            raise ShapeError(
                f"the array given as initializer has shape {values.shape}, but the weight has shape {tuple(shape)}; "
                f"give an array of that shape, or Constant(array) to broadcast it"
            )
        return values.astype(_numpy_dtype(dtype))

    return given_array


def _seed_source(owner: str, seed: object) -> Callable[[], int]:
    """Return what gives the seed of an initializer."""
    if isinstance(seed, Mapping) and seed.get("class_name") == "SeedGenerator":
        return _seed_source(owner, (seed.get("config") or {}).get("seed"))
    if seed is None:
        return config.take_seed()
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise InvalidArgumentError(f"{owner}: seed must be None or an integer, but it is {seed!r}")
    return functools.partial(int, int(seed) & config.LARGEST_SEED)


def _check_numeric(owner: str, value: npt.ArrayLike) -> None:
    try:
        kind = np.asarray(value).dtype.kind
    except ValueError:  # a nested list with rows of different lengths
        kind = "O"
    if kind in "OSUc":
        raise InvalidArgumentError(f"{owner}: value must be a real number or an array of them, but it is {value!r}")


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(shape)
    if not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes):
        raise ShapeError(f"the shape of a weight must be known integers of at least 0, but it is {sizes}")
    return tuple(int(size) for size in sizes)


def _numpy_dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    return as_dtype(config.floatx() if dtype is None else dtype).numpy


def _product_over(sizes: tuple[int, ...], axes: Sequence[int]) -> int:
    try:
        return math.prod(sizes[axis] for axis in axes)
    except IndexError as error:
        raise ShapeError(f"the axes {list(axes)} are not all in a weight of shape {sizes}") from error


_CLASSES: tuple[type[Initializer], ...] = (
    Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Identity, LecunNormal, LecunUniform, Ones, Orthogonal,
    RandomNormal, RandomUniform, STFT, TruncatedNormal, VarianceScaling, Zeros,
)  # fmt: skip

_REGISTRY = Registry(
    "initializer",
    _CLASSES,
    aliases={
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
        "STFTInitializer": STFT,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "one": Ones,
        "zero": Zeros,
    },
    # TensorFlow 1 saved the dtype of the weights with their initializer.
    ignored=frozenset({"dtype"}),
)

# Described at `Registry`; `get` is above, since it takes arrays too.
serialize = _REGISTRY.serialize
deserialize = _REGISTRY.deserialize

# Keras exports each class under a function-like name, too.
IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = Orthogonal
stft = STFT
STFTInitializer = STFT
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros
