"""From a name, a config dict, a class, an object or a function to an object, and back to a config dict.

Initializers, regularizers and constraints are given and saved in the same ways; this is the one place that knows them.
The saved form is that of Keras 3, `{"module", "class_name", "config", "registered_name"}`; the older
`{"class_name", "config"}` is read too.

Source: https://keras.io/api/models/model_saving_apis/serialization_utils/
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, Self, TypeAlias

import numpy as np

from kir.errors import InvalidArgumentError
from kir.ir.types import as_dtype
from kir.modeling.user_functions import function_config
from kir.support.caching import cached
from kir.support.naming import snake_case

# A class from another package is the user's own, even if it has the name of one of Keras's.
KERAS_PACKAGES = frozenset({"keras", "tf_keras", "tensorflow", "kir"})
# An object of one kind, or how a config or a script writes one: a name, a config dict, a class, a function.
Described: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]


class Configurable:
    """An object that its constructor's arguments describe completely; each is stored under its own name."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain values that JSON can hold.

        Raises:
            InvalidArgumentError: an argument is not stored under its own name.
        """
        stored = vars(self)
        names = argument_names(type(self))
        for name in names:
            if name not in stored:
                raise InvalidArgumentError(
                    f"{type(self).__name__} does not keep its argument {name!r}; "
                    f"store it as self.{name}, or define get_config()"
                )
        return {name: to_plain(stored[name]) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the object that `get_config` described."""
        return cls(**{name: from_plain(value) for name, value in config.items()})

    def __repr__(self) -> str:
        stored = vars(self)
        arguments = [f"{name}={stored[name]!r}" for name in argument_names(type(self)) if name in stored]
        return f"{type(self).__name__}({', '.join(arguments)})"


class Registry:
    """The classes of one kind by every name that Keras knows them under.

    Args:
        kind: "initializer"; Keras's module is its plural.
        classes: found under their own names and under those in snake case.
        aliases: further names.
        ignored: keys that old files hold in a config although they mean nothing.
    """

    def __init__(
        self,
        kind: str,
        classes: Iterable[type[Configurable]],
        aliases: Mapping[str, type[Configurable]],
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        self.kind = kind
        self.class_names = sorted(cls.__name__ for cls in classes)
        self.by_name = {cls.__name__: cls for cls in classes}
        self.by_name |= {snake_case(cls.__name__): cls for cls in classes}
        self.by_name |= aliases
        self.ignored = ignored

    def get(self, identifier: object) -> Callable[..., Any] | None:
        """Return the object that a layer's argument means.

        | given                      | result                                                        |
        |----------------------------|---------------------------------------------------------------|
        | None                       | None                                                          |
        | a name                     | an instance of that class, made with its default arguments    |
        | a config dict              | what `deserialize` makes of it                                |
        | a class                    | an instance, made with its default arguments                  |
        | any other callable         | itself                                                        |

        Raises:
            InvalidArgumentError: nothing of that name exists, or the argument is none of these.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str):
            return self._checked_callable(_instance_of(self._class_named(identifier)), identifier)
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        if isinstance(identifier, type):
            return self._checked_callable(_instance_of(identifier), identifier)
        return self._checked_callable(identifier, identifier)

    def deserialize(
        self, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Callable[..., Any]:
        """Return the object that `serialize`, or Keras, wrote; `custom_objects` has the user's classes and functions.

        Raises:
            InvalidArgumentError: the class is unknown, or does not accept the config.
        """
        class_name = config.get("class_name")
        if not isinstance(class_name, str):
            raise InvalidArgumentError(
                f"{dict(config)!r} describes no {self.kind}; expected a dict with the keys 'class_name' and 'config'"
            )
        if class_name == "function":
            return self._custom_function(config, custom_objects or {})
        found = self._class_described(class_name, config, custom_objects or {})
        return self._checked_callable(self._made(found, config.get("config") or {}), config)

    def serialize(self, described: object) -> dict[str, Any] | None:
        """Return the config dict that Keras 3 writes for this object; None for None.

        Raises:
            InvalidArgumentError: the object has no `get_config`, or is a function that has no name of its own.
        """
        if described is None:
            return None
        if isinstance(described, FunctionType):
            return self._serialized_function(described)
        if isinstance(described, type) or not hasattr(described, "get_config"):
            raise InvalidArgumentError(
                f"{described!r} cannot be saved as {self._a_kind}; expected an object with get_config()"
            )
        return self._serialized_object(described)

    def _serialized_object(self, described: Any) -> dict[str, Any]:
        cls = type(described)
        ours = cls.__name__ in self.by_name and _is_of_keras(cls.__module__)
        # Keras writes None for the main script: the name "__main__" means another file at the next run.
        own_module = None if cls.__module__ == "__main__" else cls.__module__
        return {
            "module": f"keras.{self.kind}s" if ours else own_module,
            "class_name": cls.__name__,
            "config": to_plain(described.get_config()),
            "registered_name": None if ours else cls.__name__,
        }

    def _serialized_function(self, function: FunctionType) -> dict[str, Any]:
        if "<" in function.__qualname__:
            raise InvalidArgumentError(
                f"the {self.kind} {function.__qualname__} cannot be saved: a function inside another, or a lambda, "
                f"cannot be found again by name; write a function at the top of a module, or a class with get_config()"
            )
        return function_config(function)

    def _custom_function(self, config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Callable[..., Any]:
        name = str(config.get("config"))
        if name not in custom_objects:
            raise InvalidArgumentError(
                f"the {self.kind} is the function {name!r}, of which only the name was saved; "
                f"pass custom_objects={{{name!r}: the function}}"
            )
        return self._checked_callable(custom_objects[name], config)

    def _class_described(self, class_name: str, config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Any:
        registered_name = config.get("registered_name")
        for name in (str(registered_name), class_name):
            if name in custom_objects:
                return custom_objects[name]
        if registered_name is None and _is_of_keras(str(config.get("module") or "keras")):
            return self._class_named(class_name)
        raise InvalidArgumentError(
            f"the {self.kind} {class_name!r} of module {config.get('module')!r} is not one of Keras's; "
            f"pass custom_objects={{{class_name!r}: the class}}"
        )

    def _class_named(self, name: str) -> type[Configurable]:
        if name not in self.by_name:
            raise unknown_name(self.kind, name, self.by_name, self.class_names)
        return self.by_name[name]

    def _made(self, cls: type[Configurable], config: object) -> Any:
        if not hasattr(cls, "from_config") or not isinstance(config, Mapping):
            raise InvalidArgumentError(
                f"cannot make {self._a_kind} of {cls!r} from {config!r}; expected a class with from_config() and a dict"
            )
        names = argument_names(cls)
        kept = {key: value for key, value in config.items() if key in names or key not in self.ignored}
        try:
            return cls.from_config(kept)
        except TypeError as error:
            raise InvalidArgumentError(
                f"{cls.__name__} does not accept the config {dict(config)!r}; "
                f"its arguments are {', '.join(names) or 'none'} ({error})"
            ) from error

    def _checked_callable(self, candidate: object, given: object) -> Callable[..., Any]:
        if not callable(candidate):
            raise InvalidArgumentError(
                f"cannot use {given!r} as {self._a_kind}; expected None, a name, a config dict, a class or a callable"
            )
        return candidate

    @property
    def _a_kind(self) -> str:
        return f"an {self.kind}" if self.kind[0] in "aeiou" else f"a {self.kind}"


def unknown_name(kind: str, name: str, known: Iterable[str], listed: Iterable[str]) -> InvalidArgumentError:
    """Return the error for a name that nothing has: it suggests the closest of the known ones, and lists some."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    question = f"did you mean {close[0]!r}? There" if close else "there"
    return InvalidArgumentError(f"unknown {kind} {name!r}; {question} are {', '.join(listed)}")


@cached
def argument_names(cls: type) -> tuple[str, ...]:
    """Return the names of a constructor's arguments, without `*args` and `**kwargs`."""
    parameters = inspect.signature(cls).parameters.values()
    return tuple(one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD))


def _instance_of(cls: type) -> Any:
    try:
        return cls()
    except TypeError as error:
        raise InvalidArgumentError(
            f"{cls.__name__} cannot be made without arguments ({error}); give an instance instead of the class"
        ) from error


def _is_of_keras(module: str) -> bool:
    return module.split(".")[0] in KERAS_PACKAGES


def to_plain(value: object) -> Any:
    """Return the form in which Keras writes a config's value: arrays as dicts, NumPy numbers as Python's."""
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": value.dtype.name}}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.item()
    if isinstance(value, (list, tuple)):
        return type(value)(to_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(value: object) -> Any:
    """Return the inverse of `to_plain`; Keras calls an array "__tensor__" or "__numpy__", depending on its backend."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        array = value["config"]
        return np.asarray(array["value"], as_dtype(array["dtype"]).numpy)
    return value
