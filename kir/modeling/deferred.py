"""Errors of models that a script builds beside the one that is exported: raised when somebody needs their results.

A script of a variational autoencoder calls the whole model to train it, which draws random numbers; its decoder can be
exported all the same.
"""

from __future__ import annotations

from typing import Any, NoReturn

from kir.errors import KirError

# What a result that is not there might be asked for, besides attributes.
_SPECIAL_METHODS = """
abs add and array bool call contains float floordiv ge getitem gt int invert iter le len lt matmul mod mul neg or pow
radd rmatmul rmul rsub rtruediv setitem sub truediv
"""


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
