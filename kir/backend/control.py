"""Functions of `keras.ops` that choose and repeat: both branches are computed, and known numbers of steps unrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kir.backend.comparison import where
from kir.errors import TraceError, UnsupportedError
from kir.ir.trace import SymbolicOperators
from kir.support.limits import MAX_UNROLLED
from kir.support.trees import flatten, map_structure


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Return the result of one of two functions; for a symbolic condition both run, and the elements are chosen."""
    if not isinstance(pred, SymbolicOperators):
        return true_fn() if bool(np.asarray(pred)) else false_fn()
    results = [true_fn(), false_fn()]
    chosen = iter([where(pred, a, b) for a, b in zip(*map(flatten, results), strict=True)])
    return map_structure(lambda leaf: next(chosen), results[0])


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[int, Any], Any], init_val: Any) -> Any:
    """Return what `value = body_fun(step, value)` makes of the initial value for each step from `lower` to `upper`.

    Raises:
        TraceError: the number of steps is not known, or too large to be unrolled.
    """
    first, last = _known(lower), _known(upper)
    if last - first > MAX_UNROLLED:
        raise UnsupportedError(f"fori_loop of {last - first} steps; at most {MAX_UNROLLED} are unrolled")
    value = init_val
    for step in range(first, last):
        value = body_fun(step, value)
    return value


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """Return what `variables = body(*variables)` makes of the loop's variables for as long as `cond(*variables)` holds.

    Raises:
        TraceError: the condition depends on numbers that are not known while the model is built.
        UnsupportedError: there are too many steps to be unrolled.
    """
    has_several = isinstance(loop_vars, list | tuple)
    values = tuple(loop_vars) if has_several else (loop_vars,)
    limit = MAX_UNROLLED if maximum_iterations is None else min(maximum_iterations, MAX_UNROLLED)
    for _ in range(limit):
        holds = cond(*values)
        if isinstance(holds, SymbolicOperators):
            raise _unknown_steps("while_loop")
        if not bool(np.asarray(holds)):
            break
        result = body(*values)
        values = tuple(result) if isinstance(result, list | tuple) else (result,)
    else:
        if limit != maximum_iterations:
            raise UnsupportedError(f"while_loop of more than {MAX_UNROLLED} steps; so many are unrolled at most")
    return values if has_several else values[0]


def _known(bound: Any) -> int:
    if isinstance(bound, SymbolicOperators) or not isinstance(bound, int | np.integer | np.ndarray):
        raise _unknown_steps("fori_loop")
    return int(bound)


def _unknown_steps(name: str) -> TraceError:
    return TraceError(
        f"the number of steps of {name} is not known while the model is built; use a known number, and where(…) for "
        f"what fewer steps would give"
    )
