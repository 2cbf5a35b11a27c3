"""The descriptions of layers in Keras's files: where they come from, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kir.layers
from kir.backend.keras_operations import OPERATIONS
from kir.errors import KirError
from kir.importers.keras_file.document import revive
from kir.importers.keras_file.functions import function_of_keras, known_name, resolve_function
from kir.importers.keras_file.keras2 import MEANINGLESS, old_function
from kir.importers.keras_file.packages import announced_layer
from kir.importers.keras_file.unused import MODEL_NAMES, OPERATION_MODULES
from kir.modeling.layer import Layer
from kir.modeling.registry import KERAS_PACKAGES

OTHER_NAMES = {
    # The name of its class in Keras's code, which .h5 files have.
    "GroupedQueryAttention": "GroupQueryAttention",
    # As Keras 2 registers it.
    "Custom>CustomScaleLayer": "CustomScaleLayer",
}

# The classes of functions that Keras 2 recorded.
RECORDED = frozenset(
    {
        "AddLoss",
        "AddMetric",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
        "SlicingOpLambda",
        "TFOpLambda",
        "TensorFlowOpLayer",
    }
)

# Where the configs of wrappers keep a layer inside, or a list of them.
INNER_LAYERS = ("layer", "forward_layer", "backward_layer", "cell", "cells", "layers")


@dataclass(frozen=True)
class FileOrigin:
    """The file that a description comes from, and the version of the Keras that wrote it."""

    path: Path
    version: str = "3"
    custom_objects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_old(self) -> bool:
        """Return whether Keras 2 or 1 wrote the file."""
        return self.version[:1] in ("1", "2")

    def layer(self, name: str) -> type[Layer] | None:
        """Return the class of layers that a file has this name for; None if kir has none."""
        if self.is_old:
            from kir.importers.keras_file.keras2_layers import OLD_LAYERS  # start-up time: few files are so old

            return OLD_LAYERS.get(name) or layer_of_keras_3(name)
        return layer_of_keras_3(name)


def layer_of_keras_3(name: object) -> type[Layer] | None:
    """Return the class of layers of this name, of which only the module is imported; None if kir has none."""
    found = getattr(kir.layers, OTHER_NAMES.get(name, name), None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, Layer) and found is not Layer else None


def is_operation(description: Mapping[str, Any]) -> bool:
    """Return whether this is a function between layers; where no module says so, layers have `trainable` or a dtype."""
    module, name, config = description.get("module"), description["class_name"], description["config"]
    if isinstance(module, str):
        return module.startswith(OPERATION_MODULES)
    if name not in OPERATIONS or "trainable" in config:
        return False
    return layer_of_keras_3(name) is None or "dtype" not in config


def is_recorded(description: Mapping[str, Any], origin: FileOrigin) -> bool:
    """Return whether this is a function of TensorFlow that Keras 2 recorded between layers; see `recorded`."""
    return origin.is_old and description["class_name"] in RECORDED


def custom_object(description: Mapping[str, Any], origin: FileOrigin) -> Any:
    """Return the user's own class for a description, by its registered name or its class name.

    A class of Keras's is not the user's that happens to have its name, unless kir lacks Keras's.
    """
    if _is_known_class_of_keras(description, origin):
        return None
    name = known_name((description.get("registered_name"), description.get("class_name")), origin.custom_objects)
    if name is not None:
        return origin.custom_objects[name]
    registered = description.get("registered_name")
    root = str(description.get("module") or "").partition(".")[0]
    if not isinstance(registered, str) or root in KERAS_PACKAGES:
        return None
    return announced_layer(registered)


def _is_known_class_of_keras(description: Mapping[str, Any], origin: FileOrigin) -> bool:
    module, name = description.get("module"), description.get("class_name")
    return (
        isinstance(module, str)
        and module.partition(".")[0] == "keras"
        and description.get("registered_name") in (None, name)
        and (name in MODEL_NAMES or origin.layer(str(name)) is not None)
    )


def lambda_arguments(config: Mapping[str, Any], origin: FileOrigin) -> dict[str, Any]:
    find = partial(old_function, module=config.get("module")) if origin.is_old else function_of_keras
    dropped = {"module", "function_type", "output_shape_type", "output_shape_module", *MEANINGLESS}
    arguments = {key: value for key, value in config.items() if key not in dropped}
    for key in ("function", "output_shape", "mask"):
        if key in arguments:
            arguments[key] = resolve_function(key, arguments[key], str(config.get("name")), origin.custom_objects, find)
    if "arguments" in arguments:
        arguments["arguments"] = revive(arguments["arguments"])
    return arguments


def layers_at(config: object, key: str) -> list[Any]:
    found = config.get(key) if isinstance(config, dict) else None
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def name_of(description: object) -> str:
    """Return a layer's name: Keras writes it twice, inside the config and beside it."""
    if not isinstance(description, dict):
        return "?"
    config = description.get("config")
    name = description.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return name if isinstance(name, str) else str(description.get("class_name", "?")).lower()


def message_of(error: KirError) -> str:
    """Return the message without the layer's path, which is said already."""
    return str(error.args[0]) if error.args else str(error)


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
