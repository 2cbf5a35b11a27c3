"""Values as Python source: numbers, texts, structures, Keras's objects, layers with their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from kir import activations, constraints, initializers, layers, regularizers
from kir.config import DTypePolicy
from kir.errors import KirError, UnsupportedError
from kir.exporters.script.script import Script
from kir.exporters.script.text import Group, Piece, call, mapping, number, quote, sequence
from kir.ir.dims import Sym
from kir.ir.types import DType, TensorType
from kir.layers.wrappers import Bidirectional
from kir.modeling.layer import Layer, to_config
from kir.modeling.parameters import constructor_parameters
from kir.modeling.registry import Configurable, argument_names, to_plain
from kir.support.naming import snake_case

REGISTRIES = {"initializers": initializers, "regularizers": regularizers, "constraints": constraints}
NOT_GIVEN = object()


def refuse(message: str) -> NoReturn:
    """Raise that a value cannot be written."""
    raise UnsupportedError(message)


class Values:
    """Writes values into a script.

    Args:
        script: where arrays and imports go.
        special: writes the values that have a meaning of their own where the text stands, such as tensors that are
            variables; None for all others.
        unknown: told what cannot be written; raises UnsupportedError, or gives what shall stand there.
    """

    def __init__(
        self,
        script: Script,
        special: Callable[[object], Piece | None] = lambda value: None,
        unknown: Callable[[str], Piece] = refuse,
    ) -> None:
        self.script = script
        self.special = special
        self.unknown = unknown

    def piece(self, value: object, what: str) -> Piece:
        """Return the source of a value; arrays go to the weights file under the name `what`.

        Raises:
            UnsupportedError: it is of a kind that no literal or constructor gives.
        """
        special = self.special(value)
        if special is not None:
            return special
        match value:
            case None | bool() | int() | float():
                return "None" if value is None else number(value)
            case str():
                return quote(value)
            case np.generic():
                return self.piece(value.item(), what)
            case np.ndarray():
                return self.script.array(value, what)
            case Configurable():
                return self._configurable(value)
            case DTypePolicy():
                return quote(value.name)
            case DType():
                return f"{self.script.helper('DType')}.{value.name}"
            case TensorType():
                return call(self.script.helper("parse_type"), [quote(str(value))])
            case Sym():
                return call(self.script.helper("parse_dim"), [quote(str(value))])
            case list():
                return sequence([self.piece(item, what) for item in value])
            case tuple():
                return sequence([self.piece(item, what) for item in value], "()")
            case Mapping():
                return mapping([(self.piece(key, what), self.piece(item, what)) for key, item in value.items()])
        if callable(value) and value in activations.NAMED.values():
            return quote(activations.serialize(value))
        return self.unknown(f"{what}={value!r} cannot be written as Python source")

    def _configurable(self, value: Configurable) -> Piece:
        cls = type(value)
        module = next((name for name, one in REGISTRIES.items() if getattr(one, cls.__name__, None) is cls), None)
        if module is None:
            return self.unknown(f"{cls.__name__} of {cls.__module__} is not one of Keras's {', '.join(REGISTRIES)}")
        given = _given_arguments(value)
        if not given:
            return quote(snake_case(cls.__name__))
        self.script.use("kir", module)
        keywords = [(name, self.piece(item, f"{cls.__name__}.{name}")) for name, item in given.items()]
        return call(f"{module}.{cls.__name__}", keywords=keywords)

    def constructor(self, layer: Layer) -> Group:
        """Return the call that makes a layer: arguments without a default in front, then those that differ from theirs.

        Raises:
            UnsupportedError: the class is not one of kir's, or an argument cannot be written.
        """
        cls = type(layer)
        if getattr(layers, cls.__name__, None) is not cls:
            raise UnsupportedError(f"{cls.__name__} of {cls.__module__} is not a layer of kir")
        try:
            config = layer.get_config()
            required, default = _made_from(cls, config)
            changed = _differing(config, default, required)
            if changed:
                # The default of an argument may be another argument: strides are the size of the pool.
                made = cls.from_config({**required, **changed, "name": layer.name}).get_config()
                changed |= _differing(config, made, required)
        except (KirError, TypeError) as error:
            raise UnsupportedError(f"{cls.__name__} {layer.name!r} cannot be described: {error}") from error
        positional = [
            self._argument(layer, name, value, is_own=value is config[name]) for name, value in required.items()
        ]
        keywords = [(name, self._argument(layer, name, value)) for name, value in changed.items()]
        return call(self.script.use("kir.layers", cls.__name__), positional, [*keywords, ("name", quote(layer.name))])

    def _argument(self, layer: Layer, name: str, config: object, *, is_own: bool = True) -> Piece:
        """Return an argument by the object that the layer holds, or by its config where it holds none of that name."""
        what = f"{layer.name}/{name}"
        if name == "dtype":
            return quote(layer.dtype_policy.name)
        held = vars(layer).get(name, NOT_GIVEN)
        if is_own and held is not NOT_GIVEN and _is_equal(_config_of(held), config):
            return self.piece(held, what)
        if isinstance(config, Mapping) and "class_name" in config:
            return self.piece(_described_layer(config), what)
        return self.piece(config, what)


def _differing(
    config: Mapping[str, object], made: Mapping[str, object], required: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments, beside the required ones and the name, that a layer with another config does not have."""
    return {
        name: value
        for name, value in config.items()
        if name not in required and name != "name" and not _is_equal(value, made.get(name, NOT_GIVEN))
    }


def _made_from(cls: type[Layer], config: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, object]]:
    """Return the arguments without a default, and the config of a layer that is made of these alone.

    Bidirectional changes the layer that it is given. If the layer before that gives the same, it is the one.
    """
    parameters = constructor_parameters(cls)
    required = {name: config[name] for name, one in parameters.items() if one.default is one.empty and name in config}
    if cls is Bidirectional:
        inner = config["layer"]["config"]
        before = {**inner, "name": inner["name"].removeprefix("forward_"), "zero_output_for_mask": False}
        given: dict[str, object] = {"layer": {**config["layer"], "config": before}}
        made = cls.from_config({**given, "name": config["name"]}).get_config()
        if all(_is_equal(made[name], config[name]) for name in ("layer", "backward_layer")):
            return given, made
    return required, cls.from_config({**required, "name": config["name"]}).get_config()


def _given_arguments(value: Configurable) -> dict[str, object]:
    """Return the arguments of an object that differ from those of one made without any."""
    default: dict[str, object] = {}
    with suppress(TypeError):  # it needs some
        default = vars(type(value)())
    stored = vars(value)
    return {
        name: stored[name]
        for name in argument_names(type(value))
        if name in stored and not _is_equal(to_plain(stored[name]), to_plain(default.get(name, NOT_GIVEN)))
    }


def _config_of(value: object) -> object:
    if isinstance(value, list | tuple):
        return type(value)(_config_of(item) for item in value)
    try:
        return to_plain(to_config(value))
    except KirError:
        return NOT_GIVEN


def _described_layer(config: Mapping[str, Any]) -> Layer:
    found = getattr(layers, str(config["class_name"]), None)
    if not (isinstance(found, type) and issubclass(found, Layer)):
        raise UnsupportedError(f"kir has no layer {config['class_name']!r}")
    return found.from_config(config["config"])


def _is_equal(a: object, b: object) -> bool:
    """Return whether two configs are equal, numbers of different types apart."""
    return a is b or repr(a) == repr(b)
