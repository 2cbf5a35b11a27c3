"""kir in the place of the library that the real Keras computes with, for calls on kir's symbolic tensors.

    keras.ops.add(x, y) ──> keras.src.backend.numpy.add(x, y) ──┬─ x or y is symbolic ──> kir.backend.add
                                                                └─ numbers only ────────> as ever

Keras is never imported here: there is a layer of it, or nobody asks.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType, FunctionType, ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from kir import backend as K
from kir.backend.keras_operations import OPERATIONS
from kir.errors import UnsupportedError
from kir.importers import keras_random
from kir.importers.keras_file.operations import MEANINGLESS
from kir.importers.keras_stand_in import StandIn
from kir.ir.dims import Sym
from kir.ir.trace import Tensor
from kir.modeling.user_functions import parameter_names
from kir.support.naming import snake_case
from kir.support.trees import flatten, map_structure

Function: TypeAlias = Callable[..., Any]
# A module's namespace, a name there, and what it means while kir computes, and otherwise.
_Change: TypeAlias = "tuple[dict[str, Any], str, Any, Any]"

_BACKEND = "keras.src.backend"
_VARIABLES = f"{_BACKEND}.common.variables"
# The modules in which a backend of Keras keeps its functions.
_PARTS = ("core", "numpy", "nn", "math", "linalg", "image", "random", "rnn")
# What must stay as it is: it makes no tensors, or is about variables and scopes.
_LEFT_ALONE = frozenset({
    "compute_output_spec", "cudnn_ok", "device_scope", "enable_float0", "get_dtype", "name_scope", "random_seed_dtype",
    "remat", "result_type", "slice_along_axis", "standardize_dtype", "to_backend_device",
})  # fmt: skip


def is_of_keras_3(layer: object) -> bool:
    """Return whether a layer is of Keras 3, whose functions can be given kir's tensors."""
    return any(cls.__module__ == "keras.src.layers.layer" for cls in type(layer).__mro__)


class Caller(Protocol):
    """What calls Keras's functions with kir's tensors."""

    def read_variable(self, variable: Any) -> Any:
        """Return a tensor of the trace that is open for a variable of Keras."""

    def call_inside(self, original: Function, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Stand for `keras.layers.Layer.__call__`, which is the first argument."""

    def add_loss(self, loss: Any) -> None:
        """Stand for `keras.layers.Layer.add_loss`."""


# Those that are under way; the last one is asked.
_callers: list[Caller] = []


@contextlib.contextmanager
def computing_with_kir(caller: Caller, namespaces: Sequence[dict[str, Any]] = ()) -> Iterator[None]:
    """Let Keras's functions take kir's tensors while the context is open, and TensorFlow's in these namespaces."""
    _callers.append(caller)
    try:
        with contextlib.nullcontext() if len(_callers) > 1 else _replaced(), _without_tensorflow(namespaces):
            yield
    finally:
        _callers.pop()


@contextlib.contextmanager
def _without_tensorflow(namespaces: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Let the name of TensorFlow mean kir in these namespaces: it has no backend whose functions could be replaced."""
    stand_in = StandIn(chosen=True).module("tensorflow")
    places = [
        (names, name, value)
        for names in namespaces
        for name, value in list(names.items())
        if isinstance(value, ModuleType) and value.__name__ == "tensorflow"
    ]
    for names, name, _ in places:
        names[name] = stand_in
    try:
        yield
    finally:
        for names, name, before in places:
            names[name] = before


@contextlib.contextmanager
def _replaced() -> Iterator[None]:
    layer_class = _module("keras.src.layers.layer").Layer
    variable_class = _module(_VARIABLES).Variable
    original, original_add_loss = layer_class.__call__, layer_class.add_loss
    changes = _changes()
    messages = _module("keras.src.utils.traceback_utils")
    was_filtering = messages.is_traceback_filtering_enabled()

    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return _callers[-1].call_inside(original, layer, *args, **kwargs)

    @functools.wraps(original_add_loss)
    def add_loss(layer: Any, loss: Any) -> None:
        if _depends_on_trace(loss, with_weights=False):
            _callers[-1].add_loss(loss)
        else:
            original_add_loss(layer, loss)

    try:
        # Keras would tell of kir's errors in words of its own.
        messages.disable_traceback_filtering()
        layer_class.__call__, layer_class.add_loss = call, add_loss
        # For Python's operators of kir's tensors, see `kir.backend.dispatch.operand`.
        variable_class.traced = lambda variable: _callers[-1].read_variable(variable)
        for names, name, replacement, _ in changes:
            names[name] = replacement
        yield
    finally:
        for names, name, _, before in changes:
            names[name] = before
        layer_class.__call__, layer_class.add_loss = original, original_add_loss
        del variable_class.traced
        if was_filtering:
            messages.enable_traceback_filtering()


def to_kir(value: object) -> Any:
    """Return arguments with tensors of Keras as arrays, and its variables as tensors of the trace."""
    return map_structure(_leaf_to_kir, value)


def _leaf_to_kir(leaf: object) -> Any:
    if is_variable(leaf):
        return _callers[-1].read_variable(leaf)
    if isinstance(leaf, (Tensor, Sym, np.ndarray, np.generic, str, int, float)) or not _original("is_tensor")(leaf):
        return leaf
    return np.asarray(_original("convert_to_numpy")(leaf))


def is_variable(value: object) -> bool:
    """Return whether this is a variable of Keras 3."""
    return isinstance(value, _module(_VARIABLES).Variable)


def _module(name: str) -> Any:
    return sys.modules[name]


def _original(name: str) -> Function:
    """Return a function of the backend's core as it is where nothing is replaced."""
    found = getattr(_module(_BACKEND), name)
    return getattr(found, "_kir_original", found)  # type: ignore[no-any-return]


# What stands for the backend's functions


def _changes() -> list[_Change]:
    """Return all places in Keras that hold a function of its backend, with what to put there."""
    replacements: dict[int, tuple[Function, Function]] = {}
    backend = _module(_BACKEND)
    for part in _PARTS:
        module = sys.modules.get(f"{_BACKEND}.{backend.backend()}.{part}")
        if not isinstance(module, ModuleType):
            continue
        for name, function in list(vars(module).items()):
            is_own = isinstance(function, FunctionType) and function.__module__ == module.__name__
            if is_own and name[0] != "_" and name not in _LEFT_ALONE:
                replacements[id(function)] = (function, _replacement(part, name, function))
    for name, make in _SPECIAL.items():
        function = getattr(backend, name, None) or getattr(backend.core, name, None)
        if function is None:
            # The Keras at hand is older.
            continue
        replacements[id(function)] = (function, make(function))
    return [
        (vars(module), name, replacements[id(value)][1], value)
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("keras") and isinstance(module, ModuleType)
        for name, value in list(vars(module).items())
        if id(value) in replacements
    ]


def _replacement(part: str, name: str, original: Function) -> Function:
    """Return the function that calls kir's for symbolic tensors, and Keras's own for everything else."""
    if part == "random" and name in keras_random.FUNCTIONS:
        return _drawing(keras_random.FUNCTIONS[name], original)
    function = functions().get(name) if part != "random" else None

    @functools.wraps(original)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if not _callers or not _depends_on_trace((args, kwargs), with_weights=function is not None):
            return original(*args, **kwargs)
        if function is None:
            raise UnsupportedError(f"keras.ops.{name} of values that depend on the model's inputs is not supported")
        args, kwargs = to_kir((args, kwargs))
        return function(*args, **_without_meaningless(function, kwargs))

    apply._kir_original = original  # type: ignore[attr-defined]
    return apply


def _drawing(function: Function, original: Function) -> Function:
    """Return the function that gives a value that no output may depend on: numbers that Keras drew would never change.

    Initializers draw the numbers of variables.
    """

    @functools.wraps(original)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if not _callers or _is_called_by("keras.src.initializers."):
            return original(*args, **kwargs)
        args, kwargs = to_kir((args, kwargs))
        return function(*args, **kwargs)

    apply._kir_original = original  # type: ignore[attr-defined]
    return apply


def _is_called_by(package: str) -> bool:
    """Return whether a function of a package is under way."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(package):
            return True
        frame = frame.f_back
    return False


def _depends_on_trace(arguments: object, with_weights: bool) -> bool:
    """Return whether symbolic values are among the arguments, or weights, which keep their names in the graph."""
    return any(
        isinstance(leaf, (Tensor, Sym)) or (with_weights and is_variable(leaf) and leaf.trainable)
        for leaf in flatten(arguments)
    )


def _without_meaningless(function: Function, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments without those that kir's function lacks, where they mean nothing."""
    parameters = parameter_names(function)
    return {
        name: value
        for name, value in kwargs.items()
        if name in parameters or not _means_nothing(value, MEANINGLESS.get(name, ()))
    }


def _means_nothing(value: object, meaningless: tuple[object, ...]) -> bool:
    return any(value is one for one in meaningless)


def functions() -> Mapping[str, Function]:
    """Return kir's functions by the names that Keras's backends have for them."""
    if not _FUNCTIONS:
        _FUNCTIONS.update({snake_case(name): function for name, function in OPERATIONS.items()})
        for module in (K.image, K):
            names = [name for name, value in vars(module).items() if name[0] != "_" and callable(value)]
            _FUNCTIONS.update({name: getattr(module, name) for name in names})
        _FUNCTIONS.update(_OWN)
        # That of old `keras.backend` chooses between two values, Keras 3's between functions.
        del _FUNCTIONS["switch"]
    return _FUNCTIONS


_FUNCTIONS: dict[str, Function] = {}


_OWN: Mapping[str, Function] = {
    "identity": K.eye,
}


def _knows_symbolic(original: Function) -> Function:
    """Return `is_tensor`, to which kir's tensors are tensors, too."""

    def is_tensor(x: object) -> bool:
        return isinstance(x, Tensor) or bool(original(x))

    is_tensor._kir_original = original  # type: ignore[attr-defined]
    return is_tensor


def _masks_of_kir(original: Function) -> Function:
    def get_keras_mask(x: object) -> Any:
        return x.mask if isinstance(x, Tensor) else original(x)

    return get_keras_mask


def _puts_masks(original: Function) -> Function:
    def set_keras_mask(x: object, mask: Any) -> None:
        if isinstance(x, Tensor):
            # In place, as in Keras.
            x.mask = mask
        else:
            original(x, mask)

    return set_keras_mask


def _shapes_with_none(original: Function) -> Function:
    def standardize_shape(shape: Any) -> Any:
        return original([None if isinstance(size, Sym) else size for size in shape])

    return standardize_shape


def _forwards(original: Function) -> Function:
    """Return `custom_gradient`, whose functions compute for kir only the first of their two results."""

    def custom_gradient(function: Function) -> Function:
        made = original(function)

        @functools.wraps(function)
        def apply(*args: Any, **kwargs: Any) -> Any:
            if _depends_on_trace((args, kwargs), with_weights=False):
                return function(*args, **kwargs)[0]
            return made(*args, **kwargs)

        return apply

    return custom_gradient


_SPECIAL: Mapping[str, Callable[[Function], Function]] = {
    "custom_gradient": _forwards,
    "get_keras_mask": _masks_of_kir,
    "is_tensor": _knows_symbolic,
    "set_keras_mask": _puts_masks,
    "standardize_shape": _shapes_with_none,
}
