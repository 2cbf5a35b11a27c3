"""The parameters of the calls and the constructors of layer classes."""

from __future__ import annotations

import inspect
from typing import Any

from kir.support.caching import cached


@cached
def call_parameters(cls: type[Any]) -> frozenset[str]:
    """Return the names of the parameters of a layer class's `call`."""
    return frozenset(inspect.signature(cls.call).parameters)


@cached
def first_call_parameter(cls: type[Any]) -> str:
    """Return the name of the first parameter of a layer class's `call`, after `self`; "" if there is none."""
    return next((name for name in list(inspect.signature(cls.call).parameters)[1:]), "")


@cached
def positional_parameters(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of the parameters of a layer class's `call` that may be given by position, in order."""
    parameters = list(inspect.signature(cls.call).parameters.values())[1:]
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD)


def constructor_arguments(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of `constructor_parameters`."""
    return tuple(constructor_parameters(cls))


@cached
def constructor_parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """Return all named constructor arguments of a layer class and of those it passes further ones on to."""
    found: dict[str, inspect.Parameter] = {}
    ancestor: Any
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor) or ancestor is object:
            continue
        parameters = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found
