"""The steps of sequences: gathered, cut apart, joined and turned around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir import backend as K
from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Op
from kir.ir.structural import Input
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType
from kir.ops.elementwise import Cast, Mul, Sub
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Concat, CumSum, Expand, Gather, GatherND, Reshape, Slice, TopK, Transpose
from kir.support.limits import MAX_UNROLLED

BATCH_AND_TIME = Transpose((1, 0, 2))


class Steps:
    """The valid steps of masked sequences, and how to gather them to the front and back.

    | attribute | type                  | meaning                                                     |
    |-----------|-----------------------|-------------------------------------------------------------|
    | valid     | bool[batch, time, 1]  | the mask                                                    |
    | order     | i64[batch, time, 1]   | the valid steps in order, then the masked ones              |
    | lens      | i32[batch]            | how many are valid                                          |

    `kir.passes.cancel_step_gathers` knows these forms.
    """

    def __init__(self, mask: Tensor) -> None:
        self.valid: Tensor = emit(Reshape((*mask.shape, 1)), mask)
        counted = emit(Cast(DType.INT32), self.valid)
        # Of equal elements TopK puts the one of the lower index first, so that steps keep their order.
        self.order: Tensor = emit(TopK(mask.shape[1], 1), counted)[1]
        self.lens: Tensor = emit(ReduceSum((1, 2), False), counted)

    def gather(self, x: Tensor) -> Tensor:
        """Return x (batch, time, features) with the valid steps in front. What comes after them has no meaning."""
        return emit(GatherND(1), x, self.order)

    def spread(self, y: Tensor, *, zero_masked: bool = False, before: Tensor | None = None) -> Tensor:
        """Return y [time, batch, units] of the valid steps as (batch, time, units) of all steps.

        A masked step gets 0 if `zero_masked`, otherwise the output of the valid step before it; if there is none, the
        row `before` [1, batch, units], or 0.
        """
        counted = emit(Cast(DType.INT64), self.valid)
        seen = emit(CumSum(1), counted)
        if before is not None:
            return self._pick(emit(Concat(0), before, y), seen)
        if zero_masked:
            seen = emit(Mul(), seen, counted)
        # Index -1 is the last row. It is asked for only where a step is masked, and then the last row lies after the
        # valid steps, where the operator's result is 0.
        return self._pick(y, emit(Sub(), seen, np.asarray(1, np.int64)))

    def _pick(self, y: Tensor, index: Tensor) -> Tensor:
        return emit(GatherND(1), emit(BATCH_AND_TIME, y), index)


def run(op: Op, x: Tensor, weights: Sequence[Tensor], steps: Steps | None, initial: Sequence[Tensor]) -> Any:
    """Return y [time, directions, batch, units] and the final states, for x (batch, time, features).

    With `steps`, y holds the outputs of the valid steps, and 0 after them.
    """
    gathered = x if steps is None else steps.gather(x)
    lens = None if steps is None else steps.lens
    return emit(op, emit(BATCH_AND_TIME, gathered), *weights, lens, *initial)


def one_step(x: Tensor) -> Tensor:
    """Return a stand-in for x (batch, time, …) of one step, in a trace without a graph."""
    batch, _, *sizes = x.shape
    return x.tracer.add(Input("step", x.type.with_shape((batch, 1, *sizes))))[0]


def with_steps(y: Tensor, x: Tensor) -> Tensor:
    """Return y (batch, 1, …) with as many steps as x has."""
    batch, _, *sizes = y.shape
    return emit(Expand((batch, x.shape[1], *sizes)), y)


def reverse_time(x: Tensor) -> Tensor:
    """Return x with the order of axis 1 turned around."""
    return emit(Slice((1,), (x.shape[1] - 1,), (-1,), (-1,)), x)


def select_direction(x: Tensor, direction: int, axis: int = 0) -> Tensor:
    """Return one direction of a result of a bidirectional operator."""
    return emit(Gather(axis), x, np.asarray(direction, np.int64))


def cut_steps(x: Tensor) -> list[Tensor]:
    """Cut x (batch, time, …) into steps (batch, …). One node cuts them all, with time folded into the next axis."""
    batch, time, *sizes = x.shape
    folded = emit(Reshape((batch, time * sizes[0], *sizes[1:])), x)
    return K.split(folded, time, 1)


def last_step(y: Tensor) -> Tensor:
    """Return the last step of y (batch, time, …)."""
    time = y.shape[1]
    last: Tensor = emit(Slice((1,), (time - 1,), (time,), (1,)), y)
    return emit(Reshape((y.shape[0], *y.shape[2:])), last)


def is_unrolled(time: Dim) -> bool:
    """Return whether so many steps become nodes of their own.

    Raises:
        ShapeError: there are none.
    """
    if time == 0:
        raise ShapeError("a recurrent layer needs one step or more; received 0")
    return isinstance(time, int) and time <= MAX_UNROLLED


def join_steps(steps: Sequence[Tensor]) -> Tensor:
    """Return the inverse of `cut_steps`."""
    batch, *sizes = steps[0].shape
    joined = steps[0] if len(steps) == 1 else emit(Concat(1), *steps)
    return emit(Reshape((batch, len(steps), *sizes)), joined)


def as_column(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask with as many axes as `like` has, to broadcast over its further ones."""
    missing = len(like.shape) - len(mask.shape)
    return emit(Reshape((*mask.shape, *[1] * missing)), mask) if missing else mask
