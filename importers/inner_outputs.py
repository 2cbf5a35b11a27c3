"""Outputs of layers inside a model: `--outputs encoder.blocks.2.conv`.

encoder.blocks.2.conv         by the attributes, and the places in lists and dicts, of models and layers
net/encoder/blocks/2/conv     as the nodes of a file are called; see `kir.modeling.attribute_paths`
encoder/conv_3                by the names of layers
conv_3                        by the name of one layer, at any depth
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kir.errors import InvalidArgumentError
from kir.importers.keras_layers import LiveLayer, keras_places_in
from kir.importers.keras_live import is_keras_layer, layers_inside, owned_layers
from kir.ir.trace import current_tracer
from kir.modeling.attribute_paths import is_placing, placed_layers, places_in
from kir.modeling.functional import record_call
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.weight_owner import walk_layers
from kir.support.naming import unique
from kir.support.trees import flatten

MAX_LISTED = 20


class Inner(Layer):
    """The outputs of layers inside a model.

    Args:
        model: runs as a whole; what the outputs do not depend on is dead.
        targets: layers of the model, by what they were called.
    """

    supports_masking = True

    def __init__(self, model: Model, targets: Mapping[str, Any]) -> None:
        super().__init__(name=model.name, autocast=False)
        self.model = model
        self.targets = targets

    def owned_layers(self) -> dict[str, Layer]:
        """Return the model."""
        return {"model": self.model}

    def call(self, inputs: Any) -> Any:
        """Return the outputs of each of the layers, all in a list.

        Raises:
            InvalidArgumentError: a layer is not called once.
        """
        tracer = current_tracer()
        assert tracer is not None, "layers are called inside a trace"
        before, tracer.watched = tracer.watched, {id(layer): [] for layer in self.targets.values()}
        try:
            self.model.run(inputs)
            watched = tracer.watched
        finally:
            tracer.watched = before
        found: list[Any] = []
        for name, layer in self.targets.items():
            calls = watched[id(layer)]
            if len(calls) != 1:
                raise InvalidArgumentError(
                    f"layer {name!r} is called {len(calls)} times in {self.model.name!r}, so it has no single output "
                    f"to cut at; name a layer that is called once"
                )
            found.append(calls[0])
        return found

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the outputs: their layers have put masks on them."""
        return outputs


def cut_inside(model: Model, names: Sequence[str]) -> Model:
    """Return a model of the same inputs whose outputs are those of layers at any depth.

    Raises:
        InvalidArgumentError: a layer of a name is not there, or is not called once.
    """
    inner = Inner(model, {name: _layer_named(model, name) for name in names})
    outputs = record_call(inner, (model.inputs,), {})
    cut = Model(model.input_structure, outputs if len(flatten(outputs)) > 1 else flatten(outputs)[0], name=model.name)
    taken = set(cut.input_names)
    output_names: list[str] = []
    for name, one in zip(names, outputs, strict=True):
        for _ in flatten(one):
            output_names.append(unique(name, taken))
            taken.add(output_names[-1])
    cut.output_names = output_names
    return cut


def _layer_named(model: Model, name: str) -> Any:
    """Return the layer of a path or a name, which may be one of kir or of Keras itself."""
    placed = _placed_layers(model)
    for written in (name, f"{model.name}/{name}"):
        if written.replace(".", "/") in placed:
            return placed[written.replace(".", "/")]
    for owner in _owners(model):
        for path in ([name], re.split(r"[./]", name)):
            found = _at(owner, path)
            if found is not None:
                return found
    everywhere = list({id(layer): layer for layer in _all_layers(model) if layer.name == name}.values())
    if len(everywhere) == 1:
        return everywhere[0]
    known = list(dict.fromkeys(path for owner in _owners(model) for path in _paths(owner)))
    shown = ", ".join(known[:MAX_LISTED]) + (", …" if len(known) > MAX_LISTED else "")
    if everywhere:
        raise InvalidArgumentError(
            f"{model.name!r} has {len(everywhere)} layers {name!r}; give the path of one, such as {shown}"
        )
    raise InvalidArgumentError(f"{model.name!r} has no layer {name!r} to cut at; it has {shown}")


def _placed_layers(model: Model) -> dict[str, Any]:
    """Return the layers inside those of the user's own, by the paths that nodes of a file have."""
    found: dict[str, Any] = {}
    for layer in model.operations:
        if isinstance(layer, LiveLayer):
            inner = placed_layers(layer.live, (layer.name,), keras_places_in)
        else:
            inner = placed_layers(layer, (layer.name,), places_in) if is_placing(layer) else []
        found.update(("/".join(path), one) for path, one in inner[1:])
    return found


def _owners(model: Model) -> list[Any]:
    """Return the model, and the model of Keras that one layer of it stands for."""
    return [*(one.live for one in model.layers if isinstance(one, LiveLayer) and one.name == model.name), model]


def _at(owner: Any, path: Sequence[str]) -> Any:
    here: Any = owner
    for part in path:
        here = _parts(here).get(part)
    return here if _is_layer(here) else None


def _is_layer(value: object) -> bool:
    return isinstance(value, Layer) or is_keras_layer(value)


def _parts(owner: Any) -> dict[str, Any]:
    """Return what a layer, a list or a dict holds, by the names that lead there."""
    if isinstance(owner, LiveLayer):
        owner = owner.live
    if isinstance(owner, list | tuple):
        return {str(index): one for index, one in enumerate(owner)}
    if isinstance(owner, Mapping):
        return {str(key): one for key, one in owner.items()}
    if not _is_layer(owner):
        return {}
    attributes = {name: value for name, value in vars(owner).items() if not name.startswith("__")}
    if isinstance(owner, Model) and not owner.is_subclassed:
        return attributes | {layer.name: layer for layer in owner.layers}
    inner = owner.sublayers() if isinstance(owner, Layer) else owned_layers(owner)
    known = {id(value) for value in attributes.values()}
    return {layer.name: layer for layer in inner if id(layer) not in known} | attributes


def _all_layers(model: Model) -> Iterator[Any]:
    for layer in walk_layers(model):
        yield layer
        if isinstance(layer, LiveLayer):
            yield from layers_inside(layer.live)


def _paths(owner: Any) -> Iterator[str]:
    """Yield the paths of the layers that a model has as attributes, in lists and in dicts, and the names of others."""
    pending: list[tuple[str, Any]] = [("", owner)]
    while pending:
        prefix, here = pending.pop()
        for name, part in _parts(here).items():
            if _is_layer(part) and not isinstance(part, InputLayer):
                yield f"{prefix}{name}"
            elif isinstance(part, list | tuple | Mapping) and not name.startswith("_"):
                pending.append((f"{prefix}{name}.", part))
