"""NumPy's functions on symbolic tensors: ``np.exp(x)`` records what ``K.exp(x)`` does, under NumPy's argument names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import kir.backend.basic as basic
import kir.backend.creation as creation
import kir.backend.elementwise as elementwise
import kir.backend.linear as linear
import kir.backend.reduce as reduce
import kir.backend.shapes as shapes
from kir.errors import TraceError

Function = Callable[..., Any]

# What NumPy's functions take beside what the backend's do. Each may be given one of these values, which change nothing.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
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


def _function(name: str, function: Function, /, **renamed: str) -> Function:
    """The backend's function as NumPy's of that name: `renamed` maps NumPy's argument names to those of the backend."""

    def call(*args: Any, **kwargs: Any) -> Any:
        kept = {}
        for key, value in kwargs.items():
            if key not in _WITHOUT_EFFECT or key in _ACCEPTED.get(name, ()):
                kept[renamed.get(key, key)] = value
            elif not _is_one_of(value, _WITHOUT_EFFECT[key]):
                raise TraceError(f"np.{name}(…, {key}={value!r}) cannot be traced; leave {key} out, or use kir.backend")
        try:
            inspect.signature(function).bind(*args, **kept)
        except TypeError as error:
            raise TraceError(f"np.{name} cannot be traced with these arguments ({error}); use kir.backend") from error
        return function(*args, **kept)

    return call


def _is_one_of(value: Any, known: tuple[Any, ...]) -> bool:
    """Without asking a symbolic value for its truth."""
    return (value is None and None in known) or (isinstance(value, (bool, str)) and value in known)


def _variance(x: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    result = reduce.var(x, axis, keepdims)
    if ddof == 0:
        return result
    count = reduce.prod(tuple(x.shape)) if axis is None else _count(x, axis)
    return elementwise.multiply(result, elementwise.divide(count, count - ddof))


def _count(x: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    count: Any = 1
    for one in axes:
        count = count * x.shape[one]
    return count


def _standard_deviation(x: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    return elementwise.sqrt(_variance(x, axis, ddof=ddof, keepdims=keepdims))


def _argmax(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return reduce.argmax(x, axis, keepdims)


def _argmin(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return reduce.argmin(x, axis, keepdims)


def _concatenate(arrays: Any, axis: Any = 0) -> Any:
    return shapes.concatenate(arrays, axis)


def _cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    return shapes.cumsum(x, axis, dtype)


def _repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    return shapes.repeat(x, repeats, axis)


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    return elementwise.clip(x, low, high)


def _copy(x: Any) -> Any:
    return x


_UNARY = {
    "absolute": elementwise.absolute, "fabs": elementwise.absolute, "negative": elementwise.negative,
    "sign": elementwise.sign, "square": elementwise.square, "sqrt": elementwise.sqrt, "exp": elementwise.exp,
    "exp2": elementwise.exp2, "expm1": elementwise.expm1, "log": elementwise.log, "log1p": elementwise.log1p,
    "log2": elementwise.log2, "log10": elementwise.log10, "sin": elementwise.sin, "cos": elementwise.cos,
    "tan": elementwise.tan, "arcsin": elementwise.arcsin, "arccos": elementwise.arccos, "arctan": elementwise.arctan,
    "sinh": elementwise.sinh, "cosh": elementwise.cosh, "tanh": elementwise.tanh, "arcsinh": elementwise.arcsinh,
    "arccosh": elementwise.arccosh, "arctanh": elementwise.arctanh, "reciprocal": elementwise.reciprocal,
    "floor": elementwise.floor, "ceil": elementwise.ceil, "trunc": elementwise.trunc, "rint": elementwise.round,
    "fix": elementwise.trunc, "deg2rad": elementwise.deg2rad, "radians": elementwise.deg2rad,
    "rad2deg": elementwise.rad2deg, "degrees": elementwise.rad2deg, "isnan": elementwise.isnan,
    "isinf": elementwise.isinf, "isfinite": elementwise.isfinite, "logical_not": elementwise.logical_not,
    "positive": _copy, "copy": _copy, "nan_to_num": elementwise.nan_to_num, "shape": shapes.shape, "ndim": shapes.ndim,
}  # fmt: skip

_BINARY = {
    "add": elementwise.add, "subtract": elementwise.subtract, "multiply": elementwise.multiply,
    "divide": elementwise.divide, "true_divide": elementwise.divide, "floor_divide": elementwise.floor_divide,
    "remainder": elementwise.mod, "mod": elementwise.mod, "fmod": elementwise.fmod, "power": elementwise.power,
    "float_power": elementwise.power, "maximum": elementwise.maximum, "minimum": elementwise.minimum,
    "arctan2": elementwise.arctan2, "hypot": elementwise.hypot, "logaddexp": elementwise.logaddexp,
    "equal": elementwise.equal, "not_equal": elementwise.not_equal, "less": elementwise.less,
    "less_equal": elementwise.less_equal, "greater": elementwise.greater, "greater_equal": elementwise.greater_equal,
    "logical_and": elementwise.logical_and, "logical_or": elementwise.logical_or,
    "logical_xor": elementwise.logical_xor, "matmul": linear.matmul,
}  # fmt: skip

NUMPY_FUNCTIONS: dict[str, Function] = {
    **{name: _function(name, function) for name, function in (_UNARY | _BINARY).items()},
    "abs": _function("abs", elementwise.absolute),
    "round": _function("round", elementwise.round, a="x"),
    "around": _function("around", elementwise.round, a="x"),
    "clip": _function("clip", _clip, a="x", a_min="low", a_max="high", min="low", max="high"),
    "isclose": _function("isclose", elementwise.isclose, a="x1", b="x2"),
    "where": _function("where", elementwise.where, x="x1", y="x2"),
    "sum": _function("sum", reduce.sum, a="x"),
    "prod": _function("prod", reduce.prod, a="x"),
    "mean": _function("mean", reduce.mean, a="x"),
    "var": _function("var", _variance, a="x"),
    "std": _function("std", _standard_deviation, a="x"),
    "average": _function("average", reduce.average, a="x"),
    "max": _function("max", reduce.max, a="x"),
    "amax": _function("amax", reduce.max, a="x"),
    "min": _function("min", reduce.min, a="x"),
    "amin": _function("amin", reduce.min, a="x"),
    "ptp": _function("ptp", reduce.ptp, a="x"),
    "any": _function("any", reduce.any, a="x"),
    "all": _function("all", reduce.all, a="x"),
    "argmax": _function("argmax", _argmax, a="x"),
    "argmin": _function("argmin", _argmin, a="x"),
    "count_nonzero": _function("count_nonzero", reduce.count_nonzero, a="x"),
    "norm": _function("norm", reduce.norm),
    "reshape": _function("reshape", shapes.reshape, a="x", shape="newshape"),
    "transpose": _function("transpose", shapes.transpose, a="x"),
    "permute_dims": _function("permute_dims", shapes.transpose, a="x"),
    "swapaxes": _function("swapaxes", shapes.swapaxes, a="x"),
    "moveaxis": _function("moveaxis", shapes.moveaxis, a="x"),
    "expand_dims": _function("expand_dims", basic.expand_dims, a="x"),
    "squeeze": _function("squeeze", shapes.squeeze, a="x"),
    "ravel": _function("ravel", shapes.flatten, a="x"),
    "size": _function("size", shapes.size, a="x"),
    "broadcast_to": _function("broadcast_to", shapes.broadcast_to, array="x"),
    "concatenate": _function("concatenate", _concatenate),
    "stack": _function("stack", shapes.stack, arrays="x"),
    "vstack": _function("vstack", shapes.vstack, tup="xs"),
    "hstack": _function("hstack", shapes.hstack, tup="xs"),
    "split": _function("split", shapes.split, ary="x"),
    "repeat": _function("repeat", _repeat, a="x"),
    "tile": _function("tile", shapes.tile, A="x", reps="repeats"),
    "flip": _function("flip", shapes.flip, m="x"),
    "roll": _function("roll", shapes.roll, a="x"),
    "sort": _function("sort", shapes.sort, a="x"),
    "argsort": _function("argsort", shapes.argsort, a="x"),
    "cumsum": _function("cumsum", _cumsum, a="x"),
    "diff": _function("diff", shapes.diff),
    "tril": _function("tril", shapes.tril, m="x"),
    "triu": _function("triu", shapes.triu, m="x"),
    "pad": _function("pad", shapes.pad, array="x"),
    "take": _function("take", shapes.take, a="x"),
    "take_along_axis": _function("take_along_axis", shapes.take_along_axis, arr="x"),
    "zeros_like": _function("zeros_like", creation.zeros_like, a="x"),
    "ones_like": _function("ones_like", creation.ones_like, a="x"),
    "full_like": _function("full_like", creation.full_like, a="x"),
    "dot": _function("dot", linear.dot, a="x", b="y"),
    "vdot": _function("vdot", linear.vdot, a="x1", b="x2"),
    "inner": _function("inner", linear.inner, a="x1", b="x2"),
    "outer": _function("outer", linear.outer, a="x1", b="x2"),
    "tensordot": _function("tensordot", linear.tensordot, a="x1", b="x2"),
    "einsum": _function("einsum", linear.einsum),
}
