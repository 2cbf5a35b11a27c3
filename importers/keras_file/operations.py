"""Keras's operations between layers, made from the configs in its files; see `kir.backend.keras_operations`.

Keras saves them like layers: `{"module": "keras.src.ops.numpy", "class_name": "Mean", "config": {"axis": 1}}`. The
config is the arguments that are no tensors; the tensors, and everything else, are the arguments of the call.

Source: https://keras.io/api/ops/
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kir import backend as K
from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, UnsupportedError
from kir.modeling.operation import Operation
from kir.support.limits import MAX_COUNT, MAX_UNROLLED

# Counts that are unrolled or become an array of that size.
COUNTS = frozenset({"num_classes", "indices_or_sections", "n"})

# Arguments that kir's functions do not have, with the values for which they mean nothing.
MEANINGLESS: dict[str, tuple[Any, ...]] = {
    "initial": (None,),
    "ragged": (None, False),
    "retstep": (False,),
    "sparse": (None, False),
    "synchronized": (False,),
}


class Recorded(Operation):
    """A call of one of TensorFlow's functions in a functional model of Keras 2; see `recorded`."""


def make_operation(class_name: str, config: Mapping[str, Any]) -> Operation:
    """Return the operation that Keras saved under a class name of `OPERATIONS`, with the arguments of its config.

    Raises:
        UnsupportedError: an argument asks for something that kir's function cannot do.
        FormatError: the operation has no such argument, or a count is out of all proportion.
    """
    function = OPERATIONS[class_name]
    parameters = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for name, value in config.items():
        if name in parameters:
            _check_count(class_name, name, value)
            arguments[name] = value if name in ("condlist", "choicelist") else _with_tuples(value)
        elif name != "name" and value not in MEANINGLESS.get(name, ()):
            if name not in MEANINGLESS:
                raise FormatError(f"{class_name} has no argument {name!r}; it has {', '.join(parameters)}")
            raise UnsupportedError(f"{class_name} with {name}={value!r} is not supported")
    return Operation(bind(function, arguments), config.get("name"))


def bind(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the function with keyword arguments filled in; einsum's equation goes in front of its operands."""
    if function is K.einsum:
        return functools.partial(function, arguments.get("subscripts"))
    return functools.partial(function, **arguments)


def _check_count(class_name: str, name: str, value: object) -> None:
    limit = MAX_UNROLLED if name in ("indices_or_sections", "n") else MAX_COUNT
    if name in COUNTS and isinstance(value, int) and value > limit:
        raise FormatError(f"{class_name} with {name}={value} is out of all proportion; at most {limit} is read")


def _with_tuples(value: object) -> Any:
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value
