"""The places of a model's weights in files: under readable names, or where Keras puts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kir.ir.types import DType
from kir.modeling.layer import Layer, numbered
from kir.modeling.model import Model
from kir.modeling.weight import Weight
from kir.support.naming import join_path, unique

# The members of a `.keras` archive.
CONFIG = "config.json"
METADATA = "metadata.json"
WEIGHTS = "model.weights.h5"

# The element types of safetensors.
SAFETENSORS_DTYPES = {"BOOL": DType.BOOL, "BF16": DType.BFLOAT16} | {
    f"{letter}{bits}": DType[f"{kind}{bits}"]
    for letter, kind, sizes in (
        ("I", "INT", (8, 16, 32, 64)),
        ("U", "UINT", (8, 16, 32, 64)),
        ("F", "FLOAT", (16, 32, 64)),
    )
    for bits in sizes
}


@dataclass(frozen=True)
class SavedLayer:
    """A layer's group in a `.weights.h5` file, and the weights that lie in it as `vars/0`, `vars/1`, …

    `path` is where the layer is in the model, such as "encoder/dense_1".
    """

    group: str
    path: str
    layer: Layer

    @property
    def weights(self) -> list[Weight]:
        return self.layer.own_weights


def named_weights(model: Model) -> dict[str, Weight]:
    """Return the weights by layer path and name, such as "encoder/dense_1/kernel". Each is listed once."""
    return named_weights_of(model.layers)


def named_weights_of(layers: Sequence[Layer]) -> dict[str, Weight]:
    """Return the weights of the layers of a model, see `named_weights`."""
    found: dict[str, Weight] = {}
    seen: set[int] = set()
    pending: list[tuple[str, Layer]] = [(layer.name, layer) for layer in reversed(layers)]
    while pending:
        path, layer = pending.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        for weight in layer.own_weights:
            # A layer "b" in "a" and a layer "a/b" have one path, and a user's layer may name two weights alike.
            found[unique(f"{path}/{weight.name}", found)] = weight
        pending.extend((f"{path}/{inner.name}", inner) for inner in reversed(layer.sublayers()))
    return found


def saved_layers(model: Model, from_last: bool = False) -> list[SavedLayer]:
    """Return the groups of a `.weights.h5` file as Keras 3 lays it out; a layer shared between models has one.

    Layers in a model are numbered by class, not by name: "layers/dense_1" is the second Dense of `model.layers`.

    Args:
        model: the model, whose layers are built.
        from_last: whether attributes are visited from the last name on, as tf_keras 2.16 and later does.

    Source: `_save_state` in keras/src/saving/saving_lib.py, and in tf_keras/src/saving/saving_lib.py
    """
    found: list[SavedLayer] = []
    seen: set[int] = set()
    pending: list[tuple[str, str, Layer]] = [("", "", model)]
    while pending:
        group, path, layer = pending.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        found.append(SavedLayer(join_path(group, layer.saved_group), path, layer))
        pending.extend(
            (join_path(group, inner), join_path(path, owned.name), owned)
            for inner, owned in reversed(_inner_groups(layer, from_last))
        )
    return found


def _inner_groups(layer: Layer, from_last: bool) -> list[tuple[str, Layer]]:
    if isinstance(layer, Model) and not layer.is_subclassed:
        return [(f"layers/{name}", inner) for name, inner in numbered(layer.layers)]
    # A layer that is there under two names is saved under the first.
    places = list(layer.owned_layers().items())
    if isinstance(layer, Model):
        # An attribute of all models. tf_keras numbers those that it did not visit before.
        visited = {id(owned) for place, owned in places if from_last and _attribute(place) > "layers"}
        rest = [inner for inner in layer.layers if id(inner) not in visited]
        places += [(f"layers/{name}", inner) for name, inner in numbered(rest)]
    if from_last:
        return sorted(places, key=lambda place: _attribute(place[0]), reverse=True)
    return sorted(places, key=lambda place: _attribute_order(place[0]))


def _attribute(place: str) -> str:
    return place.partition("/")[0]


def _attribute_order(place: str) -> str:
    """Return the key that sorts attributes as Keras 3 visits them: by name, private ones last."""
    attribute = _attribute(place)
    return f"~{attribute}" if attribute.startswith("_") else attribute
