"""The parameters of the calls and the constructors of layer classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kir.support.caching import cached
from kir.support.trees import map_structure


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


class NamedShapes(dict[str, Any]):
    """The shapes of the arguments of `call` for a `build` that takes several, such as "query_shape"."""


def shapes_for_build(cls: type[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the shape of the first argument of a call; for a class of the user's own whose `build` takes several, all.

    Source: `update_shapes_dict_for_target_fn` in keras/src/layers/layer.py
    """
    names = _build_shape_names(cls)
    if not names:
        return _shapes_of(args[0])
    given = dict(zip(positional_parameters(cls), args, strict=False)) | dict(kwargs)
    return NamedShapes(
        {name: _shapes_of(given[name.removesuffix("_shape")]) for name in names if name.removesuffix("_shape") in given}
    )


@cached
def _build_shape_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the parameters of the `build` of a class of the user's own, if there are several, each for a shape."""
    if str(cls.build.__module__).startswith("kir."):
        return ()
    names = tuple(inspect.signature(cls.build).parameters)[1:]
    return names if len(names) > 1 and all(name.endswith("_shape") for name in names) else ()


def _shapes_of(argument: object) -> Any:
    return map_structure(lambda x: tuple(getattr(x, "shape", ())), argument)
