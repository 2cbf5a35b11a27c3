"""Sizes that a function computes with tensors, as with `K.cast(K.shape(x)[0], "int64")`, against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model
from kir import backend as K
from kir.errors import TraceError
from kir.layers import Lambda

X = np.random.default_rng(0).normal(size=(2, 7, 4)).astype(np.float32)


def size(ops: Any, x: Any, axis: int = 1, dtype: str = "int32") -> Any:
    """Return a size of x that went through a Cast."""
    return ops.cast(ops.shape(x)[axis], dtype)


def row(ops: Any, x: Any, count: Any) -> Any:
    """Return the first step of x, `count` times."""
    return x[:, :1] * ops.ones((1, count, 1))


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "arange": lambda ops, x: x * ops.cast(ops.expand_dims(ops.arange(size(ops, x)), -1), "float32"),
    "arange with bounds": lambda ops, x: x * ops.expand_dims(ops.arange(1, size(ops, x) + 1, 1, dtype="float32"), -1),
    "broadcast_to": lambda ops, x: ops.broadcast_to(x[:, :1], (size(ops, x, 0), size(ops, x) + 2, 4)),
    "ceil": lambda ops, x: row(ops, x, ops.cast(ops.ceil(ops.cast(ops.shape(x)[1], "float32") / 4), "int32")),
    "comparison": lambda ops, x: ops.where(size(ops, x) > 5, x, -x),
    "concatenate": lambda ops, x: ops.reshape(
        x, ops.concatenate([ops.expand_dims(size(ops, x, 0), 0), ops.expand_dims(size(ops, x) * 4, 0)], axis=0)
    ),
    "convert_to_tensor": lambda ops, x: x[:, : ops.convert_to_tensor(ops.shape(x)[1], "int32") // 3],
    "division by a size": lambda ops, x: row(ops, x, 20 // size(ops, x)),
    "eye": lambda ops, x: ops.matmul(ops.eye(size(ops, x)), x),
    "floor": lambda ops, x: row(ops, x, ops.cast(ops.floor(ops.cast(size(ops, x), "float32") / 4), "int32")),
    "from the end": lambda ops, x: x[:, -(size(ops, x) // 2) :],
    "full": lambda ops, x: x * ops.full((size(ops, x, 0), size(ops, x), 1), 2.0),
    "half of a float": lambda ops, x: row(ops, x, ops.cast(ops.cast(size(ops, x), "float32") * 0.5, "int32")),
    "image.resize": lambda ops, x: ops.image.resize(x[..., None], (size(ops, x) * 2, size(ops, x, 2) * 2)),
    "index": lambda ops, x: x[:, size(ops, x) - 1],
    "linspace": lambda ops, x: x * ops.expand_dims(ops.linspace(0.5, 2.0, size(ops, x)), -1),
    "linspace without its end": lambda ops, x: (
        x * ops.expand_dims(ops.linspace(0.5, 2.0, size(ops, x), endpoint=False), -1)
    ),
    "max": lambda ops, x: row(ops, x, ops.max(ops.stack(ops.shape(x)[1:]))),
    "maximum": lambda ops, x: row(ops, x, ops.maximum(size(ops, x), 3)),
    "min": lambda ops, x: row(ops, x, ops.min(ops.stack(ops.shape(x)[1:]))),
    "minimum": lambda ops, x: x[:, : ops.minimum(size(ops, x), 5)],
    "mod": lambda ops, x: row(ops, x, size(ops, x) % 4 + 1),
    "one_hot": lambda ops, x: ops.one_hot(ops.zeros((size(ops, x, 0),), dtype="int32"), size(ops, x)),
    "ones": lambda ops, x: x * ops.ones((size(ops, x, 0, "int64"), size(ops, x, 1, "int64"), 1)),
    "pad": lambda ops, x: ops.pad(x, [[0, 0], [size(ops, x), 0], [0, 0]]),
    "prod": lambda ops, x: ops.reshape(x, (-1, ops.prod(ops.shape(x)[1:]))),
    "prod of a cast": lambda ops, x: ops.reshape(x, (-1, ops.prod(ops.cast(ops.stack(ops.shape(x)[1:]), "int64")))),
    "repeat": lambda ops, x: ops.repeat(x[:, :1], size(ops, x), axis=1),
    "reshape": lambda ops, x: ops.reshape(x, (size(ops, x, 0), size(ops, x) * 4)),
    "roll": lambda ops, x: ops.roll(x, size(ops, x) // 2, axis=1),
    "roll back": lambda ops, x: ops.roll(x, -(size(ops, x) // 2), axis=1),
    "size and tensor": lambda ops, x: ops.reshape(x, (ops.shape(x)[0] * size(ops, x), 4)),
    "slice": lambda ops, x: ops.slice(x, (0, 0, 0), (size(ops, x, 0), size(ops, x) - 1, 2)),
    "slices": lambda ops, x: x[:, size(ops, x) // 4 : size(ops, x) // 2],
    "split": lambda ops, x: ops.split(x, [size(ops, x) // 3], axis=1)[0],
    "stack": lambda ops, x: ops.reshape(x, ops.stack([size(ops, x, 0), size(ops, x) * 4])),
    "sum": lambda ops, x: row(ops, x, ops.sum(ops.stack(ops.shape(x)[1:]))),
    "take of a shape": lambda ops, x: ops.reshape(x, (ops.take(ops.convert_to_tensor(ops.shape(x)), 0), -1)),
    "tile": lambda ops, x: ops.tile(x[:, :1], (1, size(ops, x), 1)),
    "tile by a tensor": lambda ops, x: ops.tile(x[:, :1], ops.stack([1, size(ops, x), 1])),
    "top_k": lambda ops, x: ops.top_k(ops.transpose(x, (0, 2, 1)), size(ops, x) // 2)[0],
    "tri": lambda ops, x: ops.matmul(ops.tri(size(ops, x), dtype="float32"), x),
    "value": lambda ops, x: x / ops.sqrt(ops.cast(size(ops, x), "float32")),
    "zeros": lambda ops, x: x + ops.zeros(ops.stack([size(ops, x, 0), size(ops, x), 1])),
}


@pytest.mark.parametrize("steps", [None, 7])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_computed_size(name: str, steps: int | None) -> None:
    function = FUNCTIONS[name]
    x = Input((steps, 4))
    model = Model(x, Lambda(lambda x: function(K, x))(x))
    for array in (X, X[:, :4]) if steps is None else (X,):
        expected = np.asarray(function(keras.ops, keras.ops.convert_to_tensor(array)))
        computed = model.predict(array)
        assert computed.shape == expected.shape
        np.testing.assert_allclose(computed, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(lambda x: K.cast(K.sum(x), "int32"), id="data"),
        pytest.param(lambda x: K.cast(K.cast(K.shape(x)[1], "float32") * 0.1, "int32"), id="a rounded factor"),
        pytest.param(lambda x: K.cast(K.cast(K.shape(x)[1], "float16") * 0.5, "int32"), id="float16"),
        pytest.param(lambda x: K.cast(4 / K.cast(K.shape(x)[1], "float32"), "int32"), id="an unknown divisor"),
    ],
)
def test_what_is_no_size_is_refused(count: Callable[[Any], Any]) -> None:
    with pytest.raises(TraceError, match="a size of shape must be an integer known while tracing"):
        Lambda(lambda x: x[:, :1] * K.ones((1, count(x), 1)))(Input((None, 4)))
