"""Files whose layers are of installed packages: Keras itself loads them, with the classes of the module that is named.

kir export model.keras --custom-objects tcn      # where keras-tcn and Keras are installed
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kir.errors import FormatError, UsageError
from kir.importers.keras_stand_in import StandIn


def is_module_name(given: str) -> bool:
    """Return whether a text is the name of a module, such as "keras_hub.layers", and of no file."""
    return all(part.isidentifier() for part in given.split(".")) and not Path(given).exists()


def module_objects(name: str) -> dict[str, object]:
    """Return what a module offers, by name; it is imported, with kir in the place of Keras where that is not installed.

    Raises:
        UsageError: it cannot be imported.
    """
    try:
        with StandIn().installed():
            module = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"--custom-objects {name}: there is no such file, and the module cannot be imported: {error}"
        ) from error
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def holds_live_layers(objects: Mapping[str, object]) -> bool:
    """Return whether a class of layers of the real Keras 3 is among the objects."""
    keras = sys.modules.get("keras.src.layers.layer")
    layer: Any = getattr(keras, "Layer", None)
    return layer is not None and any(
        isinstance(one, type) and issubclass(one, layer) and not one.__module__.startswith("keras.src.")
        for one in objects.values()
    )


def load_with_keras(path: Path, objects: Mapping[str, object]) -> Any:
    """Return the model of a file as Keras loads it, in its safe mode: no code in the file is run.

    Raises:
        FormatError: Keras cannot load it.
    """
    keras: Any = sys.modules["keras"]
    known = {name: value for name, value in objects.items() if callable(value)}
    try:
        return keras.saving.load_model(path, custom_objects=known, compile=False, safe_mode=True)
    except Exception as error:
        raise FormatError(
            f"{path}: Keras {keras.__version__} cannot load it with the custom objects: {type(error).__name__}: {error}"
        ) from error
