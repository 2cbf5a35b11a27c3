"""Where layers are inside a layer or a model of the user's own: by its attributes, as "encoder/blocks/2/conv".

    owner is                      a layer inside is called
    of the user's own             attribute, place in a list, key of a dict: "blocks/2"
    a functional model            its name, if the user gave it one; else its class, counted in the model: "dense_1"
    another layer of kir          likewise; else where the owner keeps it: "layer"

Automatic names, which count all layers of a class that a process makes, are in no path: they differ between a script, a
live model and a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kir.modeling.weight_owner import is_of_kir
from kir.support.naming import Names, is_automatic_name, snake_case

# The places of the layers that an owner has, at one depth.
Places = Iterable[tuple[str, Any]]


def places_in(owner: Any) -> Places:
    """Return the layers that a layer of kir owns, with their places in it."""
    owner = getattr(owner, "model", owner) if owner.stands_for_model else owner
    if is_placing(owner):
        return attributes(owner, lambda value: hasattr(type(value), "owned_layers"))
    if owner.is_model:
        return counted_by_class([(layer.name, layer.keras_class_name, layer) for layer in owner.operations])
    return [
        (place if is_automatic_name(layer.name, layer.keras_class_name) or layer.name == place else layer.name, layer)
        for place, layer in owner.owned_layers().items()
    ]


def is_placing(layer: Any) -> bool:
    """Return whether layers inside a layer are called by where they are in it."""
    return bool(layer.stands_for_model or getattr(layer, "is_subclassed", not is_of_kir(type(layer))))


def attributes(owner: object, is_layer: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield the layers that are attributes of an object, or in lists, tuples and dicts that are, with their places."""
    # `_layers` is where Keras and kir keep those that are attributes as well.
    pending = [(name, value) for name, value in reversed(vars(owner).items()) if name != "_layers"]
    seen: set[int] = set()
    while pending:
        place, value = pending.pop()
        if is_layer(value):
            yield place, value
        elif isinstance(value, list | tuple | Mapping) and id(value) not in seen:
            seen.add(id(value))
            inner = list(value.items() if isinstance(value, Mapping) else enumerate(value))
            pending.extend((f"{place}/{key}", one) for key, one in reversed(inner))


def counted_by_class(layers: Iterable[tuple[str, str, Any]]) -> Places:
    """Return layers, given as (name, class, layer), with the names that the user gave, or counts within the class."""
    layers = list(layers)
    names = Names(name for name, class_name, _ in layers if not is_automatic_name(name, class_name))
    return [
        (names.unique(snake_case(class_name)) if is_automatic_name(name, class_name) else name, layer)
        for name, class_name, layer in layers
    ]


def paths_inside(
    owner: Any, path: tuple[str, ...], inside: Callable[[Any], Places], depth: int | None = None
) -> dict[int, tuple[str, ...]]:
    """Return the paths of an owner and of the layers inside it by their ids; see `placed_layers`."""
    return {id(layer): found for found, layer in placed_layers(owner, path, inside, depth)}


def placed_layers(
    owner: Any, path: tuple[str, ...], inside: Callable[[Any], Places], depth: int | None = None
) -> list[tuple[tuple[str, ...], Any]]:
    """Return an owner and the layers inside it, each once with its path: the shortest, of those the first.

    Args:
        owner: a layer.
        path: its own.
        inside: gives what is in a layer.
        depth: to which it is looked; by default any.
    """
    found = [(path, owner)]
    seen = {id(owner)}
    # Those that are found are looked into in turn.
    for here, layer in found:
        if depth is not None and len(here) == len(path) + depth:
            break
        for place, one in inside(layer):
            if id(one) not in seen:
                seen.add(id(one))
                found.append(((*here, place), one))
    return found
