"""`import keras` and `import tensorflow` in model scripts where neither is installed: kir under their names.

    from tensorflow import keras
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])     # a kir.Sequential

What is installed is used. One decision holds for the whole script, since layers of two libraries do not mix: a script
that imports one of `PACKAGES` that cannot be imported gets kir under all of their names. The names exist while the
script runs, and in the imports inside its own functions, which run again whenever a Lambda is traced; nowhere else.

`keras_names`, which loads all layers, is imported by functions: most scripts have no use for it.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import difflib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from kir import backend
from kir.errors import UnsupportedError
from kir.modeling.deferred import script_runs

PACKAGES = frozenset({"keras", "tensorflow", "tf_keras"})

# Where TensorFlow keeps Keras.
_KERAS_IN_TENSORFLOW = ("keras", "python.keras")


class MissingNameError(UnsupportedError, ImportError):
    """kir has nothing under a name of Keras. An ImportError, since scripts may try one name and then another."""


class StandInModule(ModuleType):
    """A module of Keras or TensorFlow that holds what kir has under its names."""

    def __init__(self, name: str, names: Mapping[str, Any], owner: StandIn) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__ = [one for one in names if not one.startswith("_")]
        self._owner = owner
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self._owner.attribute(self, name)
        setattr(self, name, value)
        return value


class StandIn(MetaPathFinder, Loader):
    """The finder and loader of the modules, for one script.

    Args:
        chosen: whether kir stands in; None leaves it to what is imported first.
    """

    def __init__(self, chosen: bool | None = None) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._hidden: dict[str, Any] = {}
        self._chosen = chosen

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Let the names be imported while the context is open; afterwards `sys.modules` is as it was."""
        if self in sys.meta_path:
            yield
            return
        sys.meta_path.insert(0, self)
        if self._chosen:
            self._hide_others()
        try:
            with script_runs():
                yield
        finally:
            sys.meta_path.remove(self)
            for name in [name for name in sys.modules if _package(name) in PACKAGES]:
                if isinstance(sys.modules[name], StandInModule):
                    del sys.modules[name]
            sys.modules.update(self._hidden)
            self._hidden = {}

    def builtins(self) -> dict[str, Any]:
        """Return Python's builtins for the script, whose `__import__` finds the names also when the script has run."""

        def find_and_import(name: str, *args: Any, **kwargs: Any) -> ModuleType:
            if _package(name) not in PACKAGES:
                return builtins.__import__(name, *args, **kwargs)
            with self.installed():
                return builtins.__import__(name, *args, **kwargs)

        return {**vars(builtins), "__import__": find_and_import}

    # The protocol of finders and loaders

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return None for everything else, and for packages that are installed.

        Raises:
            MissingNameError: Keras may have such a module, but kir does not.
        """
        package = _package(fullname)
        if package not in PACKAGES or not self._stands_in(package):
            return None
        self.module(fullname)
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: `create_module` has filled it."""

    # What is in the modules

    def module(self, fullname: str) -> ModuleType:
        """Return the module of this name.

        Raises:
            MissingNameError: there is none.
        """
        if fullname not in self._modules:
            names = _names_in(fullname)
            if names is None:
                raise MissingNameError(_describe_missing(fullname, _known_modules(fullname)))
            self._modules[fullname] = StandInModule(fullname, names, self)
        return self._modules[fullname]

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Return what a name that a module does not hold yet means.

        Raises:
            MissingNameError: nothing.
        """
        from kir.importers.keras_names import INERT, Refused, inert_class

        fullname = f"{module.__name__}.{name}"
        library, path = _located(fullname)
        reason = _reason_to_refuse(library, path)
        if reason is not None:
            return Refused(fullname, reason)
        if _names_in(fullname) is not None:
            return self.module(fullname)
        inside = path.rpartition(".")[0]
        if library == "keras" and inside in INERT:
            return inert_class(module.__name__, name)
        if library == "tensorflow":
            from kir.importers.tensorflow_missing import known_reason  # start-up time: only errors need it

            missing = known_reason(path)
            if missing is not None:
                return Refused(fullname, missing)
        if library == "keras" and _package(inside) in ("backend", "ops"):
            raise MissingNameError(f"{fullname}: {_backend_message(name)}")
        raise MissingNameError(_describe_missing(fullname, sorted(one for one in vars(module) if one[0] != "_")))

    # Who stands in

    def _stands_in(self, package: str) -> bool:
        if self._chosen is None:
            self._chosen = not is_installed(package) or (
                package == "keras" and package not in sys.modules and not is_installed(_keras_backend())
            )
            if self._chosen:
                self._hide_others()
        return self._chosen

    def _hide_others(self) -> None:
        for name in [name for name in sys.modules if _package(name) in PACKAGES]:
            self._hidden[name] = sys.modules.pop(name)


def stand_in_for(script: ast.AST) -> StandIn:
    """Return the stand-in for a script, decided at once where that can be told.

    It is chosen if the script imports one of `PACKAGES` that is not installed, and not if one that it imports is loaded
    already: no finder is asked for that, and the next question would be Keras's own for TensorFlow.
    """
    imported = packages_imported(script)
    if any(not is_installed(name) for name in imported):
        return StandIn(True)
    return StandIn(False if any(name in sys.modules for name in imported) else None)


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, other than from kir."""
    if package in sys.modules:
        return sys.modules[package] is not None
    finders = [finder for finder in sys.meta_path if not isinstance(finder, StandIn)]
    specs = [finder.find_spec(package, None) for finder in finders if hasattr(finder, "find_spec")]
    # A folder without __init__.py, which anybody may have beside the script, has no origin.
    return any(spec is not None and spec.origin is not None for spec in specs)


def packages_imported(tree: ast.AST) -> frozenset[str]:
    """Return those of `PACKAGES` that a script imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(_package(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(_package(node.module or ""))
    return PACKAGES & found


def _package(fullname: str) -> str:
    return fullname.partition(".")[0]


def _located(fullname: str) -> tuple[str, str]:
    """Return the library of a module or name, and its path there: ("keras", "layers") for "tensorflow.keras.layers"."""
    package, _, path = fullname.partition(".")
    if package != "tensorflow":
        return "keras", path
    for prefix in _KERAS_IN_TENSORFLOW:
        if path == prefix or path.startswith(f"{prefix}."):
            return "keras", path[len(prefix) + 1 :]
    return "tensorflow", path


def _names_in(fullname: str) -> Mapping[str, Any] | None:
    """Return what a module holds; None if there is no such module."""
    from kir.importers.keras_names import INERT, NAMESPACES

    library, path = _located(fullname)
    if _reason_to_refuse(library, path) is not None or (library == "keras" and path in INERT):
        return {}
    if library == "tensorflow":
        return {} if path == "python" else _tensorflow_namespaces().get(path)
    return NAMESPACES.get(path)


def _reason_to_refuse(library: str, path: str) -> str | None:
    """Return why a name, or one of the modules that it is in, may not be used; None if it may."""
    from kir.importers.keras_names import REFUSED, REFUSED_OF_TENSORFLOW

    table = REFUSED if library == "keras" else REFUSED_OF_TENSORFLOW
    parts = path.split(".")
    paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((table[one] for one in paths if one in table), None)


def _tensorflow_namespaces() -> Mapping[str, Mapping[str, Any]]:
    from kir.importers.tensorflow_names import NAMESPACES as NAMESPACES_OF_TENSORFLOW  # start-up time

    return NAMESPACES_OF_TENSORFLOW


def _known_modules(fullname: str) -> list[str]:
    from kir.importers.keras_names import NAMESPACES

    library, _ = _located(fullname)
    namespaces = NAMESPACES if library == "keras" else _tensorflow_namespaces()
    return sorted(name for name in namespaces if name)


def _describe_missing(fullname: str, known: list[str]) -> str:
    close = difflib.get_close_matches(_located(fullname)[1].rpartition(".")[2], known, n=3, cutoff=0.6)
    hint = f"near it: {', '.join(close)}" if close else f"there are {', '.join(known)}"
    return f"kir has no {fullname} (it stands in for Keras and TensorFlow, of which one is not installed); {hint}"


def _backend_message(name: str) -> str:
    """Return what kir.backend says of a function that it does not have, which includes what to use instead."""
    try:
        getattr(backend, name)
    except backend.UnknownFunctionError as error:
        return str(error)
    return f"kir.backend.{name} is no function of tensors"


def _keras_backend() -> str:
    """Return the library that an installed Keras would compute with, by the settings that it reads."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        settings = json.loads(Path(home, "keras.json").read_text(encoding="utf-8"))
        return str(settings["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
