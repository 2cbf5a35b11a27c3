"""`tf.random`: values that the export refuses where an output depends on them; see `kir.importers.keras_random`."""

from __future__ import annotations

from typing import Any

from kir.backend.dispatch import as_shape
from kir.importers import keras_random
from kir.importers.tensorflow_functions.signatures import tensorflow


@tensorflow("random.normal compat.v1.random_normal")
def _normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: Any = None) -> Any:
    return keras_random.normal(as_shape(shape), mean, stddev, dtype)


@tensorflow("random.truncated_normal compat.v1.truncated_normal")
def _truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: Any = None) -> Any:
    return keras_random.truncated_normal(as_shape(shape), mean, stddev, dtype)


@tensorflow("random.uniform compat.v1.random_uniform")
def _uniform(shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = "float32", seed: Any = None) -> Any:
    return keras_random.uniform(as_shape(shape), minval, 1 if maxval is None else maxval, dtype)
