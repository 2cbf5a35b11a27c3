"""Branches and loops, on arrays and on symbolic tensors, compared with keras.ops."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, layers
from kir import backend as K
from kir.errors import KirError, TraceError

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

FUNCTIONS: dict[str, Any] = {
    "cond of a tensor": lambda ops, x: ops.cond(ops.sum(x) > 0, lambda: [x * 2, -x], lambda: [x - 1, x])[0],
    "cond of a number": lambda ops, x: ops.cond(len(x.shape) == 2, lambda: x * 2, lambda: x[9]),
    "fori_loop": lambda ops, x: ops.fori_loop(1, 4, lambda i, v: v * i + x, x),
    "no step": lambda ops, x: ops.fori_loop(4, 1, lambda i, v: v * i, x),
    "while_loop": lambda ops, x: ops.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (0, x))[1],
    "one variable": lambda ops, x: ops.while_loop(lambda v: True, lambda v: v + 1, x, maximum_iterations=2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_control(name: str) -> None:
    function = FUNCTIONS[name]
    wanted = np.asarray(function(keras.ops, X))
    np.testing.assert_allclose(function(K, X), wanted, rtol=1e-6)
    for sign in (1, -1):
        model = Model(x := Input((4,)), layers.Lambda(lambda x: function(K, x))(x))
        np.testing.assert_allclose(model.predict(sign * X), np.asarray(function(keras.ops, sign * X)), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: K.while_loop(lambda v: K.sum(v) < 9, lambda v: v + 1, x), TraceError, "steps of while_loop is not"),
        (
            lambda x: K.fori_loop(0, K.cast(K.sum(x), "int32"), lambda i, v: v, x),
            TraceError,
            "of fori_loop is not",
        ),
        (lambda x: K.while_loop(lambda v: True, lambda v: v, x), TraceError, "while_loop of more than"),
        (lambda x: K.fori_loop(0, 10**9, lambda i, v: v, x), TraceError, "fori_loop of 1000000000 steps"),
    ],
)
def test_steps_that_cannot_be_unrolled(function: Any, error: type[KirError], message: str) -> None:
    with pytest.raises(error, match=message):
        layers.Lambda(function)(Input((4,)))
