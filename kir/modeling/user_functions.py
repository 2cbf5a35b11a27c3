"""Calling a user's function while a model is traced, and saying where it went wrong when that fails."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any

from kir.errors import KirError, TraceError

HINT = (
    "a traced function gets symbolic tensors: it may use Python's operators, kir.backend and NumPy functions, "
    "but nothing that needs their numbers"
)


def call_function(role: str, function: Callable[..., Any], *args: object, **kwargs: object) -> Any:
    """Return `function(*args, **kwargs)`.

    Raises:
        TraceError: the function raised anything; the message names it, its file, line and source line there, what
            went wrong and what to use instead. The cause is kept.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        if isinstance(error, KirError) and _is_ours(function):
            raise
        place = "" if _is_ours(function) else _innermost_place(function, error)
        raise TraceError(
            f"{role} {function_name(function)}{place}: {_problem(function, args, kwargs, error)}"
        ) from error


def function_name(function: Callable[..., Any]) -> str:
    """Return the name that a function was written under; a callable object's class."""
    inner = _unwrapped(function)
    return getattr(inner, "__qualname__", type(inner).__qualname__)


def function_config(function: Callable[..., Any]) -> dict[str, Any]:
    """Return how Keras describes a function in a config: by its name alone."""
    return {
        "module": "builtins",
        "class_name": "function",
        "config": getattr(_unwrapped(function), "__name__", function_name(function)),
        "registered_name": "function",
    }


def parameter_names(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a function's parameters; empty where Python knows none, as for functions written in C."""
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return frozenset()


def _problem(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> str:
    if isinstance(error, KirError):
        return str(error)
    if _takes(function, args, kwargs):
        return f"{type(error).__name__}: {error}; {HINT}"
    name = function_name(function)
    example = "" if "<" in name else f", such as lambda x: {name}(x, …)"
    return f"{error}; only the layer's inputs are passed, {len(args)} here: write a function of those{example}"


def _takes(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a function can be called with these arguments, as far as Python knows."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _is_ours(function: Callable[..., Any]) -> bool:
    """Return whether kir itself wrote the function: its errors are addressed to the model's author already."""
    module = getattr(_unwrapped(function), "__module__", None) or type(function).__module__
    return module.split(".")[0] == "kir"


def _innermost_place(function: Callable[..., Any], error: Exception) -> str:
    """Return the deepest line of the function's file that the error came through: " (model.py:7, `x = np.sort(x)`)"."""
    code = _code(function)
    if code is None:
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == code.co_filename]
    if not frames:
        return f" ({code.co_filename}:{code.co_firstlineno})"
    source = f", `{frames[-1].line}`" if frames[-1].line else ""
    return f" ({code.co_filename}:{frames[-1].lineno}{source})"


def _code(function: Callable[..., Any]) -> CodeType | None:
    inner = _unwrapped(function)
    # The __call__ of an object's class, but not that of a class of callables, such as that of C functions.
    method = vars(type(inner)).get("__call__")
    code = getattr(inner, "__code__", None) or getattr(method, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function
