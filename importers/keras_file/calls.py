"""The calls of layers in a description, with references in the places of tensors.

Two forms are read. Keras 3 writes calls as `{"args": …, "kwargs": …}` with tensors inside; Keras 2 as lists of
`[layer, call, output, kwargs]`, and counts the calls of a model inside a model from 1. Functions that Keras 2 recorded
have `["_CONSTANT_VALUE", -1, value, kwargs]` in the place of a tensor, too, and anything around tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kir.errors import FormatError
from kir.importers.keras_file.descriptions import short
from kir.importers.keras_file.document import Reference, as_reference, is_reference, revive
from kir.importers.keras_file.operations import Recorded
from kir.modeling.functional import KerasTensor
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.parameters import call_parameters
from kir.support.trees import map_structure

# In the place of a layer's name: the value itself follows.
_CONSTANT = "_CONSTANT_VALUE"


def parse_calls(nodes: object, layer: Layer, layers: Mapping[str, Layer]) -> list[tuple[Any, Any]]:
    """Return the arguments of each call of a layer, tensors as references."""
    if not isinstance(nodes, list):
        raise FormatError(f"inbound_nodes is {short(nodes)}; expected a list of calls")
    if isinstance(layer, Recorded):
        calls = [_parse_recorded_call(node, layers) for node in nodes]
    elif all(isinstance(node, dict) for node in nodes):
        return [_parse_call(node) for node in nodes]
    else:
        calls = [_parse_call(node) if isinstance(node, dict) else _parse_old_call(node, layer) for node in nodes]
    return map_structure(lambda leaf: _counted_from_0(leaf, layers), calls)  # type: ignore[no-any-return]


def _counted_from_0(leaf: object, layers: Mapping[str, Layer]) -> Any:
    """Return a reference of Keras 2, which counts the calls of a model with a graph from 1: that was the first."""
    if isinstance(leaf, Reference) and has_graph(layers.get(leaf.layer)):
        return Reference(leaf.layer, leaf.call - 1, leaf.output)
    return leaf


def has_graph(layer: Layer | None) -> bool:
    """Return whether a layer is a model that is made of calls of layers, as a subclassed one is not."""
    return isinstance(layer, Model) and not layer.is_subclassed


def _parse_call(node: Mapping[str, Any]) -> tuple[Any, Any]:
    args, kwargs = revive(node.get("args")), revive(node.get("kwargs"))
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        raise FormatError(f"a call has the arguments {short(args)} and {short(kwargs)}; expected a list and an object")
    return tuple(args), kwargs


def _parse_old_call(node: object, layer: Layer) -> tuple[Any, Any]:
    """Parse `[[layer, call, output, kwargs], …]`; further inputs of a recurrent layer are its initial state."""
    entries: list[Any] = node if isinstance(node, list) else [node]
    if (
        not all(isinstance(one, list) and len(one) in (3, 4) and is_reference(one[:3]) for one in entries)
        or not entries
    ):
        raise FormatError(f"a call has the inputs {short(node)}; expected a list of [layer, call, output, kwargs]")
    kwargs: dict[str, Any] = {}
    for one in entries:
        if len(one) == 4 and isinstance(one[3], dict):
            kwargs |= one[3]
    given = [as_reference(one[:3]) for one in entries]
    old_kwargs = {key: _old_references(value) for key, value in kwargs.items()}
    if len(given) > 1 and "initial_state" in call_parameters(type(layer)):
        return (given[0],), old_kwargs | {"initial_state": given[1:]}
    return (given[0] if len(given) == 1 else given,), old_kwargs


def _parse_recorded_call(node: object, layers: Mapping[str, Layer]) -> tuple[Any, Any]:
    """Parse the first argument of a recorded function, whose tensors carry the other arguments."""
    kwargs: dict[str, Any] = {}

    def first_argument(one: object) -> Any:
        if not isinstance(one, list):
            raise FormatError(f"a call has the input {short(one)}; expected [layer, call, output, kwargs]")
        if len(one) not in (3, 4) or not isinstance(one[0], str):
            return [first_argument(item) for item in one]
        if len(one) == 4 and isinstance(one[3], dict):
            kwargs.update(one[3])
        return revive(one[2]) if one[0] == _CONSTANT else as_reference(one[:3])

    first = first_argument(node)
    return (first,), {key: _recorded_value(value, layers) for key, value in kwargs.items()}


def _recorded_value(value: object, layers: Mapping[str, Layer]) -> Any:
    """Return an argument with references in it. A slice stays a dict, as its bounds may be tensors."""
    if isinstance(value, list):
        if is_reference(value) and value[0] in layers:
            return as_reference(value)
        return [_recorded_value(item, layers) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _recorded_value(item, layers) for key, item in value.items()}
    return revive(value)


def _old_references(value: object) -> Any:
    if is_reference(value):
        return as_reference(value)
    return [_old_references(item) for item in value] if isinstance(value, list) else revive(value)


def find_output(leaf: object, results: Mapping[tuple[str, int], Sequence[KerasTensor]]) -> Any:
    if not isinstance(leaf, Reference):
        return leaf
    outputs = results[leaf.layer, leaf.call]
    if leaf.output >= len(outputs):
        raise FormatError(f"layer {leaf.layer!r} has {len(outputs)} outputs; output {leaf.output} is asked for")
    return outputs[leaf.output]
