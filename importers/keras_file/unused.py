"""The layers of a saved model that are left off: stand-ins take their places, so that nothing of them need be known.

Where Keras's files have weights depends on the layers' order and classes, and that on the calls between them: so the
layers are not dropped, but replaced by ones that compute nothing and have no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kir.importers.bounded_json import walk
from kir.importers.keras_file.document import is_reference
from kir.modeling.declared import DeclaredLayer
from kir.support.declarations import Integer, Text

# The classes of models, in files.
FUNCTIONAL_NAMES = frozenset({"Functional", "Model"})
MODEL_NAMES = FUNCTIONAL_NAMES | {"Sequential"}

# Where Keras's operations between layers are written, which are no layers.
OPERATION_MODULES = ("keras.src.ops", "keras.ops", "keras.src.activations")


class Unused(DeclaredLayer):
    """A layer whose outputs nobody reads: each is its first input."""

    supports_masking = True

    class_name: Text = Text(doc="of the layer that it stands for")
    outputs: Integer = Integer(1, default=1, doc="how many outputs others refer to")

    def begin_init(self, others: Mapping[str, Any]) -> None:
        super().begin_init({**others, "autocast": False})

    @property
    def keras_class_name(self) -> str:
        return self.class_name

    def call(self, inputs: object) -> Any:
        first = inputs
        while isinstance(first, list | tuple | dict):
            first = next(iter(first.values() if isinstance(first, dict) else first))
        return [first] * self.outputs if self.outputs > 1 else first

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return None: nobody reads the mask."""
        return None


class UnusedOperation(Unused):
    """An operation between layers whose outputs nobody reads."""

    is_layer = False


# The registered names that descriptions of stand-ins have: no class of a user's can have one.
STAND_INS: dict[str, type[Unused]] = {"kir>unused": Unused, "kir>unused_operation": UnusedOperation}


def without_unused(description: object, outputs: Sequence[str]) -> Any:
    """Return a description in which stand-ins take the places of the layers that none of the outputs depends on.

    Models inside stay, and so does everything that is not described as Keras describes it: reading it says why.

    Args:
        description: of a model.
        outputs: the names of layers.
    """
    if not isinstance(description, Mapping):
        return description
    config = description.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if not isinstance(layers, list) or not all(isinstance(layer, Mapping) for layer in layers):
        return description
    if not {_name(layer) for layer in layers}.issuperset(outputs):
        # A path into a layer, or a mistake.
        return description
    if description.get("class_name") == "Sequential":
        last = max((place for place, layer in enumerate(layers) if _name(layer) in outputs), default=len(layers))
        unused = {_name(layer) for layer in layers[last + 1 :]}
    else:
        unused = {_name(layer) for layer in layers} - _needed(layers, outputs)
    counts = _counted_outputs(layers)
    replaced = [_stand_in(one, counts.get(_name(one), 1)) if _name(one) in unused else one for one in layers]
    new_config = {**config, "layers": replaced} if isinstance(config, Mapping) else replaced
    return {**description, "config": new_config}


def _needed(layers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> set[str]:
    """Return the names of the layers that the outputs depend on. O(layers)."""
    sources = {_name(layer): {name for name, _ in _references(layer.get("inbound_nodes"))} for layer in layers}
    found: set[str] = set()
    pending = [name for name in outputs if name in sources]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(sources.get(name, ()))
    return found


def _references(nodes: object) -> list[tuple[str, int]]:
    found = []
    for _, item in walk(nodes):
        if isinstance(item, list) and is_reference(item[:3]):
            found.append((item[0], item[2]))
    return found


def _counted_outputs(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for layer in layers:
        for name, output in _references(layer.get("inbound_nodes")):
            counts[name] = max(counts.get(name, 1), output + 1)
    return counts


def _stand_in(layer: Mapping[str, Any], outputs: int) -> Mapping[str, Any]:
    """Return the description of the stand-in for a layer; inputs and models stay."""
    name, class_name = _name(layer), layer.get("class_name")
    if class_name in (*MODEL_NAMES, "InputLayer") or not isinstance(class_name, str):
        return layer
    nodes = layer.get("inbound_nodes")
    is_operation = str(layer.get("module")).startswith(OPERATION_MODULES)
    return {
        "class_name": class_name,
        "registered_name": "kir>unused_operation" if is_operation else "kir>unused",
        "name": name,
        "config": {"name": name, "class_name": class_name, "outputs": outputs},
        "inbound_nodes": [_bare(node) for node in nodes] if isinstance(nodes, list) else nodes,
    }


def _bare(node: object) -> Any:
    """Return a call with its tensors alone, in the order of its arguments, on which the order of layers depends."""
    if isinstance(node, Mapping):
        return {"args": [_tensors([node.get("args"), node.get("kwargs")])], "kwargs": {}}
    return (
        [[*entry[:3], {}] if isinstance(entry, list) else entry for entry in node] if isinstance(node, list) else node
    )


def _tensors(arguments: object) -> list[Any]:
    """Return the tensors in arguments, from left to right; those in a dict by its keys."""
    found: list[Any] = []
    pending = [arguments]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            if item.get("class_name") == "__keras_tensor__":
                found.append(item)
            else:
                pending.extend(item[key] for key in sorted(item, reverse=True))
        elif isinstance(item, list):
            pending.extend(reversed(item))
    return found


def _name(layer: Mapping[str, Any]) -> str:
    config = layer.get("config")
    return str(layer.get("name") or (config.get("name") if isinstance(config, Mapping) else ""))
