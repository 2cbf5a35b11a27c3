"""Losses of Keras 2 that its files name by their paths, such as "keras.metrics.hinge"; others are there in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kir import backend as K
from kir.backend.dispatch import dtype_of
from kir.importers.tensorflow_functions.signatures import alike, single, tensorflow

_EPSILON = 1e-7


def _inside(x: Any) -> Any:
    return K.clip(x, _EPSILON, 1 - _EPSILON)


@tensorflow("keras.backend.binary_crossentropy")
def _binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    x, wanted = alike(output, target)
    if from_logits:
        return K.add(K.subtract(K.relu(x), K.multiply(x, wanted)), K.log1p(K.exp(K.negative(K.absolute(x)))))
    x = _inside(x)
    hit = K.multiply(wanted, K.log(K.add(x, _EPSILON)))
    miss = K.multiply(K.subtract(1.0, wanted), K.log(K.add(K.subtract(1.0, x), _EPSILON)))
    return K.negative(K.add(hit, miss))


@tensorflow("keras.backend.categorical_crossentropy")
def _categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    x, wanted = alike(output, target)
    if from_logits:
        return K.negative(K.sum(K.multiply(wanted, K.log_softmax(x, axis)), axis))
    shares = _inside(K.divide(x, K.sum(x, axis, keepdims=True)))
    return K.negative(K.sum(K.multiply(wanted, K.log(shares)), axis))


@tensorflow("keras.backend.sparse_categorical_crossentropy")
def _sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1, ignore_class: Any = None
) -> Any:
    x = single(output)
    logs = K.log_softmax(x if from_logits else K.log(_inside(x)), axis)
    own = K.take_along_axis(logs, K.expand_dims(K.cast(single(target), "int64"), axis), axis)
    return K.negative(K.squeeze(own, axis))


def _hinge(name: str, change: Callable[[Any], Any]) -> None:
    def call(y_true: Any, y_pred: Any) -> Any:
        x = single(y_pred)
        wanted = K.cast(single(y_true), dtype_of(x))
        # Targets of 0 and 1 are meant as -1 and 1, if all of them are.
        are_binary = K.all(K.logical_or(K.equal(wanted, 0), K.equal(wanted, 1)))
        signs = K.where(are_binary, K.subtract(K.multiply(wanted, 2.0), 1.0), wanted)
        return K.mean(change(K.relu(K.subtract(1.0, K.multiply(signs, x)))), -1)

    tensorflow(f"keras.metrics.{name} keras.losses.{name}")(call)


_hinge("hinge", K.identity)
_hinge("squared_hinge", K.square)
