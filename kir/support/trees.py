"""Structures of tensors: nested lists, tuples, dicts and slices, walked without recursion limits that matter.

What Keras calls a tree. Structures are as deep as a user's argument, not as deep as a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

Leaf = TypeVar("Leaf")
Tree: TypeAlias = Leaf | Sequence["Tree[Leaf]"] | Mapping[str, "Tree[Leaf]"] | None


def flatten(structure: object) -> list[Any]:
    """Return the leaves in order; dicts by sorted key, as Keras flattens them. None is no leaf."""
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    if isinstance(structure, list | tuple):
        return [leaf for item in structure for leaf in flatten(item)]
    if isinstance(structure, slice):
        return flatten((structure.start, structure.stop, structure.step))
    return [] if structure is None else [structure]


def map_structure(function: Callable[[Any], Any], structure: object) -> Any:
    """Return the same structure with `function` applied to every leaf; None stays None."""
    if isinstance(structure, dict):
        return {key: map_structure(function, structure[key]) for key in sorted(structure)}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*[map_structure(function, item) for item in structure])
    if isinstance(structure, list | tuple):
        return type(structure)(map_structure(function, item) for item in structure)
    if isinstance(structure, slice):
        return slice(*map_structure(function, (structure.start, structure.stop, structure.step)))
    return None if structure is None else function(structure)


def only_item(structure: object) -> Any:
    """Return the item of a list or tuple of one; anything else as it is."""
    return structure[0] if isinstance(structure, list | tuple) and len(structure) == 1 else structure
