"""NumPy's functions on symbolic tensors: ``np.exp(x)`` records what ``K.exp(x)`` does, under NumPy's argument names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kir.errors import TraceError
from kir.ir.dims import product
from kir.ir.trace import Tensor
from kir.ir.types import Axis

Function = Callable[..., Any]

# What NumPy's functions take beside what the backend's do. Each may be given one of these values, which change nothing.
_WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {
    "out": (None,),
    "where": (True,),
    "casting": ("same_kind",),
    "order": ("K", "C", None),
    "subok": (True, False),
    "dtype": (None,),
    "initial": (None,),
    "kind": (None,),
    "stable": (None,),
    "copy": (None, True, False),
    "mode": ("raise",),
    "optimize": (False, True),
}
_ACCEPTED = {
    "pad": {"mode"},
    "cumsum": {"dtype"},
    "full_like": {"dtype"},
    "zeros_like": {"dtype"},
    "ones_like": {"dtype"},
}
# What NumPy calls the first argument of functions, whatever the backend calls it.
_FIRST = ("a", "array", "m", "A", "arr", "ary", "tup", "arrays")
# The axis that NumPy means where none is given, and Keras 2 and 3 mean different ones.
_DEFAULT_AXIS = {"concatenate": 0, "cumsum": None, "repeat": None}


def _as_numpy(name: str, function: Function, renamed: Mapping[str, str]) -> Function:
    """Return the backend's function as NumPy's of that name: `renamed` maps NumPy's argument names to the backend's."""

    def call(*args: Any, **kwargs: Any) -> Any:
        signature = inspect.signature(function)
        first, second, *_ = (*signature.parameters, "", "")
        names = {**dict.fromkeys(_FIRST, first), "b": second, **renamed}
        kept = {}
        for key, value in kwargs.items():
            if key not in _WITHOUT_EFFECT or key in _ACCEPTED.get(name, ()):
                kept[names.get(key, key)] = value
            elif not _is_one_of(value, _WITHOUT_EFFECT[key]):
                raise TraceError(f"np.{name}(…, {key}={value!r}) cannot be traced; leave {key} out, or use kir.backend")
        try:
            given = signature.bind(*args, **kept)
        except TypeError as error:
            raise TraceError(f"np.{name} cannot be traced with these arguments ({error}); use kir.backend") from error
        if name in _DEFAULT_AXIS:
            given.arguments.setdefault("axis", _DEFAULT_AXIS[name])
        return function(*given.args, **given.kwargs)

    return call


def _is_one_of(value: object, known: tuple[object, ...]) -> bool:
    """Return whether a value is a known one, without asking a symbolic value for its truth."""
    return (value is None and None in known) or (isinstance(value, (bool, str)) and value in known)


# Those that have NumPy's name in the backend, too.
_SAME = """
    abs absolute add all amax amin any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argsort average
    broadcast_to ceil clip concatenate cos cosh count_nonzero cumsum deg2rad diff divide dot einsum equal exp
    exp2 expand_dims expm1 flip floor floor_divide fmod full_like greater greater_equal hstack hypot inner
    isclose isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor matmul max maximum mean min minimum mod moveaxis multiply nan_to_num ndim negative
    norm not_equal ones_like outer pad power prod ptp rad2deg ravel reciprocal repeat reshape roll round shape
    sign sin sinh size sort split sqrt square squeeze stack subtract sum swapaxes take take_along_axis tan tanh
    tensordot tile transpose tril triu true_divide trunc vdot vstack where zeros_like
"""
# Under NumPy's name, those that have another in the backend.
_OTHERS = {
    "around": "round",
    "degrees": "rad2deg",
    "fabs": "absolute",
    "fix": "trunc",
    "float_power": "power",
    "permute_dims": "transpose",
    "radians": "deg2rad",
    "remainder": "mod",
    "rint": "round",
}
# What NumPy calls other arguments than the first, and the backend's name for them.
_RENAMED = {
    "clip": {"a_min": "x_min", "a_max": "x_max", "min": "x_min", "max": "x_max"},
    "reshape": {"shape": "newshape"},
    "tile": {"reps": "repeats"},
    "where": {"x": "x1", "y": "x2"},
}


def numpy_functions(backend: Mapping[str, Function]) -> dict[str, Function]:
    """Return what stands for NumPy's functions, by their names, from the functions of the backend by theirs."""

    def variance(x: Tensor, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
        result = backend["var"](x, axis, keepdims)
        if ddof == 0:
            return result
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        count = product(x.shape[one] for one in axes)
        return backend["multiply"](result, backend["divide"](count, count - ddof))

    def standard_deviation(x: Tensor, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
        return backend["sqrt"](variance(x, axis, ddof=ddof, keepdims=keepdims))

    def argmax(x: Tensor, axis: int | None = None, *, keepdims: bool = False) -> Any:
        return backend["argmax"](x, axis, keepdims)

    def argmin(x: Tensor, axis: int | None = None, *, keepdims: bool = False) -> Any:
        return backend["argmin"](x, axis, keepdims)

    def copy(x: Tensor) -> Tensor:
        return x

    functions = {name: backend[name] for name in _SAME.split()} | {name: backend[own] for name, own in _OTHERS.items()}
    functions |= {"argmax": argmax, "argmin": argmin, "copy": copy, "positive": copy}
    functions |= {"std": standard_deviation, "var": variance}
    return {name: _as_numpy(name, function, _RENAMED.get(name, {})) for name, function in functions.items()}
