"""Live functions that were written with Keras's functions, made to use kir's.

A Lambda's function calls `keras.ops.mean` of the real Keras, which takes the real Keras's tensors. A copy of the
function whose globals and closure hold kir's functions under the same names takes kir's.
"""

from __future__ import annotations

import functools
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol

import numpy as np

from kir import initializers
from kir.config import DTypePolicy
from kir.config import as_dtype_policy as dtype_policy
from kir.importers.keras_stand_in import PACKAGES, MissingNameError, StandIn
from kir.ir.types import as_dtype
from kir.modeling.weight import Weight

# Where the real libraries keep what they offer under other names, and those names; the longest first.
_PUBLIC_NAMES = (
    ("keras._tf_keras.keras", "keras"),
    ("keras.api", "keras"),
    ("keras.src.activations", "keras.activations"),
    ("keras.src.backend", "keras.backend"),
    ("keras.src.legacy.backend", "keras.backend"),
    ("keras.src.ops", "keras.ops"),
    ("tensorflow._api.v2", "tensorflow"),
)


class Named(Protocol):
    """Something of the real Keras that has a name, such as a policy or a variable."""

    @property
    def name(self) -> str: ...


class KerasLayer(Protocol):
    """A layer or a model of the real Keras, which is not imported here, and has no types: most is asked for by name."""

    @property
    def dtype_policy(self) -> Named: ...

    def call(self, *args: object, **kwargs: object) -> Any: ...

    def compute_mask(self, inputs: object, previous_mask: object) -> Any: ...

    def __getattr__(self, name: str) -> Any: ...


class Rebinder:
    """A copier of functions of the user's own, and what they call of these.

    Args:
        folder: where the user's script is; functions from elsewhere stay as they are. None: functions are the user's if
            no package holds them that is installed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._stand_in = StandIn(chosen=True)
        # By id; the originals are kept, for an id belongs to whatever lives.
        self._copies: dict[int, tuple[Any, Any]] = {}

    def value(self, value: object) -> Any:
        """Return kir's module or function for one of Keras's, a copy of one of the script's, all else as it is."""
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, FunctionType) and is_of_keras(value):
            return self._function(value)
        if isinstance(value, FunctionType) and self._is_of_script(value):
            return self._copy(value)
        if isinstance(value, MethodType):
            return MethodType(self.value(value.__func__), value.__self__)
        if isinstance(value, functools.partial):
            return functools.partial(self.value(value.func), *value.args, **value.keywords)
        return value

    def method(self, function: Callable[..., Any], layer: KerasLayer) -> Callable[..., Any]:
        """Return a method of a Keras layer, bound, that reads the layer's variables as arrays."""
        copy, variables = self.value(function), _Variables(layer, self)

        @functools.wraps(copy)
        def bound(*args: object, **kwargs: object) -> Any:
            return copy(variables, *args, **kwargs)

        return bound

    def copies(self, function: Callable[..., Any]) -> bool:
        """Return whether a function is copied, with what it calls."""
        return isinstance(function, FunctionType) and self._is_of_script(function)

    def _module(self, module: ModuleType) -> ModuleType:
        name = _public_name(module.__name__)
        if name.partition(".")[0] not in PACKAGES:
            return module
        try:
            return self._stand_in.module(name)
        except MissingNameError:
            return module

    def _function(self, function: FunctionType) -> Any:
        """Return kir's function for one of Keras's, which lies deeper in Keras than the module that offers it."""
        home = _public_name(function.__module__)
        places = (
            [home, home.rpartition(".")[0], "keras.ops"]
            if home.startswith("keras.")
            else [home, "tensorflow", "tensorflow.nn"]
        )
        for place in places:
            try:
                names = vars(self._stand_in.module(place))
            except MissingNameError:
                continue
            if function.__name__ in names:
                return names[function.__name__]
        return function

    def _is_of_script(self, function: FunctionType) -> bool:
        file = Path(function.__code__.co_filename).resolve()
        if self._folder is not None:
            return file.is_relative_to(self._folder)
        is_ours = str(function.__module__).partition(".")[0] == "kir"
        return not is_ours and not _is_installed(file)

    def _copy(self, function: FunctionType) -> FunctionType:
        # First, for the function may be copied among them.
        names = self._globals(function.__globals__)
        if id(function) in self._copies:
            return self._copies[id(function)][1]  # type: ignore[no-any-return]
        cells = tuple(CellType() for _ in function.__closure__ or ())
        copy = FunctionType(function.__code__, names, function.__name__, None, cells or None)
        functools.update_wrapper(copy, function)
        del copy.__wrapped__  # type: ignore[attr-defined]
        # Before what it refers to, for that may be the function itself.
        self._copies[id(function)] = (function, copy)
        copy.__defaults__ = function.__defaults__ and tuple(map(self.value, function.__defaults__))
        copy.__kwdefaults__ = {key: self.value(value) for key, value in (function.__kwdefaults__ or {}).items()}
        for cell, original in zip(cells, function.__closure__ or (), strict=True):
            cell.cell_contents = self.value(original.cell_contents)
        return copy

    def _globals(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of a module's globals, one for all functions of the module."""
        if id(names) not in self._copies:
            # The builtins first: a function takes those that are there when it is made.
            copied: dict[str, Any] = {"__builtins__": self._stand_in.builtins()}
            self._copies[id(names)] = (names, copied)
            copied.update({name: self.value(value) for name, value in list(names.items()) if name != "__builtins__"})
        return self._copies[id(names)][1]  # type: ignore[no-any-return]


def _is_installed(file: Path) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    in_packages = not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
    return in_packages or file.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())


class _Variables:
    """A layer as its own methods see it while they are traced: its variables are kir's, its methods are copies."""

    def __init__(self, layer: KerasLayer, rebinder: Rebinder) -> None:
        self._kir_layer = layer
        self._kir_rebinder = rebinder
        self._kir_weights: dict[int, Weight] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._kir_layer, name)
        if isinstance(value, MethodType) and value.__self__ is self._kir_layer:
            return MethodType(self._kir_rebinder.value(value.__func__), self)
        if not is_variable(value):
            return self._kir_rebinder.value(value)
        if id(value) not in self._kir_weights:
            self._kir_weights[id(value)] = _weight(value, dtype_policy(self._kir_layer.dtype_policy.name))
        return self._kir_weights[id(value)]


def _weight(variable: Named, policy: DTypePolicy) -> Weight:
    array = as_array(variable)
    weight = Weight(variable.name, array.shape, as_dtype(array.dtype), initializers.Zeros())
    weight.assign(array)
    if weight.dtype.is_float and getattr(variable, "autocast", True):
        weight.compute_dtype = policy.compute
    return weight


def is_variable(value: object) -> bool:
    """Return whether this is a variable of the real Keras."""
    return any(cls.__name__ in ("Variable", "KerasVariable") and is_of_keras(cls) for cls in type(value).__mro__)


def as_array(variable: object) -> np.ndarray[Any, Any]:
    """Return the numbers of a variable, whatever library holds them."""
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)


def keras_classes(value: object) -> dict[str, type]:
    """Return the classes of Keras that an object is of, by name."""
    return {cls.__name__: cls for cls in reversed(type(value).__mro__) if is_of_keras(cls)}


def is_of_keras(value: object) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] in PACKAGES


def _public_name(name: str) -> str:
    for private, public in _PUBLIC_NAMES:
        if name == private or name.startswith(f"{private}."):
            return f"{public}{name[len(private) :]}"
    return name
