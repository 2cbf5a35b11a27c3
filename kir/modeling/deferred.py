"""Errors of models that a script builds beside the one that is exported: raised when somebody needs their results.

A script of a variational autoencoder calls the whole model to train it, which draws random numbers; its decoder can be
exported all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from kir.errors import KirError
from kir.ir.trace import SymbolicOperators

# What a result that is not there might be asked for, besides attributes.
_SPECIAL_METHODS = """
abs add and array bool call contains float floordiv ge getitem gt int invert iter le len lt matmul mod mul neg or pow
radd rmatmul rmul rsub rtruediv setitem sub truediv
"""


# Whether a script runs for the sake of the model in it, so that what it writes at its end is only noted.
_runs_script: ContextVar[bool] = ContextVar("runs_script", default=False)


@contextmanager
def script_runs() -> Iterator[None]:
    """Make it a warning and no error, while open, that a model cannot write a file."""
    token = _runs_script.set(True)
    try:
        yield
    finally:
        _runs_script.reset(token)


def is_script_running() -> bool:
    """Return whether a script runs; see `script_runs`."""
    return _runs_script.get()


class FailedTensor(SymbolicOperators):
    """The symbolic result of a layer that cannot be traced, and of everything that is computed from it.

    Args:
        error: of the layer, raised by a model that is to be exported, and when somebody asks for a shape or a dtype.
    """

    __slots__ = ("error",)

    def __init__(self, error: KirError) -> None:
        self.error = error

    def record(self, *call: object) -> FailedTensor:
        """Return what a function makes of this: the same."""
        return self

    def __iter__(self) -> NoReturn:
        raise self.error

    def __getattribute__(self, name: str) -> Any:
        if name in ("shape", "dtype", "name", "type"):
            raise self.error
        return super().__getattribute__(name)


class Uncomputed:
    """The result of a call that failed. Whatever is done with it raises the error of the call.

    Args:
        error: of the call.
    """

    def __init__(self, error: KirError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._error


def _raise_error(self: Uncomputed, *args: object, **kwargs: object) -> NoReturn:
    """Raise the error of the call."""
    raise self._error


for _name in _SPECIAL_METHODS.split():
    setattr(Uncomputed, f"__{_name}__", _raise_error)
