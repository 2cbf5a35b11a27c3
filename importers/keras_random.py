"""The functions of `keras.random` in scripts that run where Keras is not installed.

Inside a layer's `call` they give values of the type that Keras gives, so that the model can be built; the export
refuses outputs that depend on them. In the script itself they draw.

Source: https://keras.io/api/random/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir import config
from kir.errors import UnsupportedError
from kir.ir.dims import Dim, Sym
from kir.ir.trace import AnyTensor, SymbolicOperators, Tensor, current_tracer
from kir.ir.types import DTypeLike, TensorType, as_dtype
from kir.ops.opaque import DRAWN_AT_RANDOM, drawn_at_random

# Draws an array of a size with NumPy's generator.
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


def _drawn(name: str, shape: Sequence[Dim], dtype: DTypeLike | None, draw: Draw) -> AnyTensor:
    """Return a value of a trace where one is open, else numbers.

    Raises:
        UnsupportedError: the size is not known while a model is built of layers.
    """
    type = as_dtype(dtype or config.floatx())
    tracer = current_tracer()
    if any(size is None or isinstance(size, SymbolicOperators) for size in shape):
        raise UnsupportedError(f"keras.random.{name}: {DRAWN_AT_RANDOM}")
    if tracer is not None:
        return tracer.add(drawn_at_random(f"keras.random.{name}", TensorType(type, tuple(shape))))[0]
    sizes = tuple(int(size) for size in shape if not isinstance(size, Sym))
    return np.asarray(draw(np.random.default_rng(config.random_seed()), sizes)).astype(type.numpy)


def _shape_of(*values: Any) -> tuple[Dim, ...]:
    """Return the shape of the first tensor among the values."""
    return next((tuple(x.shape) for x in values if isinstance(x, Tensor | np.ndarray)), ())


def normal(
    shape: Sequence[Dim], mean: float = 0.0, stddev: float = 1.0, dtype: DTypeLike | None = None, seed: object = None
) -> AnyTensor:
    """Draw from a normal distribution."""
    return _drawn("normal", shape, dtype, lambda random, size: random.normal(mean, stddev, size))


def truncated_normal(
    shape: Sequence[Dim], mean: float = 0.0, stddev: float = 1.0, dtype: DTypeLike | None = None, seed: object = None
) -> AnyTensor:
    """Draw from a normal distribution without what is more than two deviations away."""
    return _drawn(
        "truncated_normal", shape, dtype, lambda random, size: np.clip(random.normal(size=size), -2, 2) * stddev + mean
    )


def uniform(
    shape: Sequence[Dim], minval: float = 0.0, maxval: float = 1.0, dtype: DTypeLike | None = None, seed: object = None
) -> AnyTensor:
    """Draw from a uniform distribution."""
    return _drawn("uniform", shape, dtype, lambda random, size: random.uniform(minval, maxval, size))


def randint(
    shape: Sequence[Dim], minval: int, maxval: int, dtype: DTypeLike = "int32", seed: object = None
) -> AnyTensor:
    """Draw integers."""
    return _drawn("randint", shape, dtype, lambda random, size: random.integers(minval, maxval, size))


def gamma(shape: Sequence[Dim], alpha: Any, dtype: DTypeLike | None = None, seed: object = None) -> AnyTensor:
    """Draw from a gamma distribution."""
    return _drawn("gamma", shape, dtype, lambda random, size: random.gamma(alpha, size=size))


def beta(shape: Sequence[Dim], alpha: Any, beta: Any, dtype: DTypeLike | None = None, seed: object = None) -> AnyTensor:
    """Draw from a beta distribution."""
    return _drawn("beta", shape, dtype, lambda random, size: random.beta(alpha, beta, size))


def binomial(
    shape: Sequence[Dim], counts: Any, probabilities: Any, dtype: DTypeLike | None = None, seed: object = None
) -> AnyTensor:
    """Draw from a binomial distribution."""
    return _drawn("binomial", shape, dtype, lambda random, size: random.binomial(counts, probabilities, size))


def categorical(logits: Any, num_samples: int, dtype: DTypeLike = "int32", seed: object = None) -> AnyTensor:
    """Draw classes for each row of logits."""
    rows, classes = _shape_of(logits)

    def draw(random: np.random.Generator, size: tuple[int, ...]) -> Any:
        # The largest of logits with Gumbel's noise is drawn as the softmax says.
        return (np.asarray(logits)[:, None] + random.gumbel(size=(*size, int(str(classes))))).argmax(-1)

    return _drawn("categorical", (rows, num_samples), dtype, draw)


def dropout(inputs: Any, rate: float, noise_shape: object = None, seed: object = None) -> AnyTensor:
    """Set elements to zero, always: unlike the layer, the function knows no inference."""
    kept = 1 - rate
    return _drawn(
        "dropout",
        _shape_of(inputs),
        inputs.dtype,
        lambda random, size: np.asarray(inputs) * (random.random(size) < kept) / kept,
    )


def shuffle(x: Any, axis: int = 0, seed: object = None) -> AnyTensor:
    """Put the elements along an axis in another order."""
    return _drawn("shuffle", _shape_of(x), x.dtype, lambda random, size: random.permutation(x, axis))


FUNCTIONS: Mapping[str, Callable[..., AnyTensor]] = {
    function.__name__: function
    for function in (beta, binomial, categorical, dropout, gamma, normal, randint, shuffle, truncated_normal, uniform)
}
