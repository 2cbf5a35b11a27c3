"""Functions that a config names: Keras's own, and those that the user gives. No code in a file is ever run.

Keras writes a function by its name, and a lambda as Python bytecode, which is not even looked at.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kir import activations, backend, constraints, initializers, regularizers
from kir.backend.keras_operations import OPERATIONS
from kir.errors import InvalidArgumentError, KirError, UnsupportedError
from kir.importers.keras_file.document import revive
from kir.modeling.layer import Layer
from kir.modeling.registry import Configurable
from kir.support.naming import snake_case

# The functions of `keras.ops` by name; whatever else kir.backend holds is no function of tensors.
OPS_FUNCTIONS = {
    snake_case(name): function for name, function in OPERATIONS.items() if snake_case(name) in vars(backend)
}


def resolve_functions(config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's config with the user's own functions and objects in the place of their names.

    A script has all kinds of globals: text that names one that cannot be called, or a layer's name, is only text.
    """
    return {key: value if key == "name" else _resolved(value, custom_objects) for key, value in config.items()}


class NotGiven(Configurable):
    """An initializer, regularizer or constraint of the user's own, which a file only names.

    Weights that are there need none of them; calling it says which one is missing.
    """

    def __init__(self, kind: str, description: object) -> None:
        self.kind = kind
        self.description = description

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Refuse.

        Raises:
            UnsupportedError: always.
        """
        name = self.description
        if isinstance(name, Mapping):
            name = name.get("config") if name.get("class_name") == "function" else name.get("class_name")
        rest = "; or give the weights, with --weights" if self.kind == "initializer" else ""
        raise UnsupportedError(f"the {self.kind} {name!r} is none of Keras's; {how_to_give(str(name))}{rest}")

    def get_config(self) -> Any:
        """Return what the file says."""
        return self.description


# What arguments of layers are, by the ends of their names, that training alone needs.
OF_TRAINING = {"initializer": initializers.get, "regularizer": regularizers.get, "constraint": constraints.get}


def without_training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's config in which what training needs, and nobody has, is `NotGiven`."""
    made = dict(config)
    for key, value in config.items():
        kind = key.rpartition("_")[2]
        if kind in OF_TRAINING and isinstance(value, str | Mapping):
            try:
                OF_TRAINING[kind](value)
            except (KirError, TypeError, ValueError, KeyError):
                made[key] = NotGiven(kind, value)
    return made


def _resolved(value: object, custom_objects: Mapping[str, Any]) -> Any:
    """Return the user's object that a text, or a config dict, names; anything else as it is."""
    if isinstance(value, str):
        found = custom_objects.get(value)
        return found if callable(found) and not isinstance(found, Layer) else value
    if not isinstance(value, dict):
        return value
    is_function = value.get("class_name") == "function"
    own_name = value.get("config") if is_function else value.get("class_name")
    name = known_name((value.get("registered_name"), own_name), custom_objects)
    if name is not None:
        found, config = custom_objects[name], value.get("config")
        return found(**config) if isinstance(found, type) and isinstance(config, dict) else found
    if (
        is_function
        and str(value.get("module")) in ("keras.ops", "keras.activations")
        and isinstance(value.get("config"), str)
    ):
        return OPS_FUNCTIONS.get(value["config"], value)
    if value.get("class_name") in activations.LAYERS and isinstance(value.get("config"), dict):
        # A layer that is an activation, such as Activation(function).
        return {**value, "config": resolve_functions(value["config"], custom_objects)}
    return value


def known_name(names: Iterable[Any], custom_objects: Mapping[str, Any]) -> str | None:
    """Return the first of the names that the user's objects have; "package>name" may be given as "name", too."""
    for name in names:
        for one in (name, name.rpartition(">")[2]) if isinstance(name, str) else ():
            if one in custom_objects:
                return str(one)
    return None


def function_of_keras(value: object, name: str) -> Any:
    """Return one of Keras 3's own functions, by its name and its description; None if it is none of them."""
    module = str(value.get("module")) if isinstance(value, dict) else "builtins"
    if module.split(".")[0] not in ("keras", "builtins"):
        return None
    return activations.ACTIVATIONS.get(name) or OPS_FUNCTIONS.get(name)


def resolve_function(
    key: str,
    value: object,
    layer: str,
    custom_objects: Mapping[str, Any],
    find: Callable[[Any, str], Any] = function_of_keras,
) -> Any:
    """Return what a Lambda's config says for `function`, `output_shape` or `mask`: a function if it names one.

    The user may give a function under its own name, or under that of the layer. `find` knows Keras's own ones.

    Raises:
        UnsupportedError: the function was stored as bytecode, or is not given.
        InvalidArgumentError: what is given cannot be called.
    """
    described = value if isinstance(value, dict) else {}
    kind = described.get("class_name")
    is_bytecode = kind == "__lambda__" or (key == "function" and isinstance(value, list))
    name = described.get("config") if kind == "function" else value if key == "function" else None
    if not is_bytecode and not isinstance(name, str):
        return revive(value)
    registered = described.get("registered_name")
    layer_name = layer if key == "function" else f"{layer}.{key}"
    if keyword.iskeyword(layer_name):
        # The first Lambda without a name is "lambda", as no function can be called.
        layer_name += "_"
    wanted = (name, registered, layer, layer_name) if key == "function" else (name, registered, layer_name)
    known = known_name(wanted, custom_objects)
    if known is not None:
        if not callable(custom_objects[known]):
            raise InvalidArgumentError(f"the custom object {known!r} is {custom_objects[known]!r}; expected a function")
        return custom_objects[known]
    if not is_bytecode:
        found = find(value, str(name))
        if found is not None:
            return found
    own_name = layer_name if is_bytecode else name
    what = (
        "is Python bytecode, which is never run"
        if is_bytecode
        else f"is the function {name!r}, of which a file holds only the name"
    )
    raise UnsupportedError(f"the {key} of this Lambda {what}; {how_to_give(str(own_name))}")


def how_to_give(name: str) -> str:
    """Return the advice for a function that a file only names."""
    # Python calls every lambda "<lambda>", which no statement can define.
    is_definable = name.isidentifier() and not keyword.iskeyword(name)
    place = f"where it is a function named {name!r}" if is_definable else f"which says globals()[{name!r}] = function"
    return f"give it with --custom-objects file.py, {place} (custom_objects={{{name!r}: function}})"
