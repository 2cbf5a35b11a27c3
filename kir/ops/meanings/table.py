"""The table of meanings, by domain and name of the operator, which the modules beside this one fill.

A meaning is a function in NumPy. Its parameters say what it understands:

- positional ones are the inputs, in order; an absent input is None, one that may be absent at the end has a default;
- keyword-only ones are the attributes, by their names in ONNX, with ONNX's defaults; one without a default must be
  given;
- the keyword-only `op`, if it has that, is the operator itself: its `version`, and the `types` of its outputs, in which
  sizes may be unknown.

A function registered with `means` returns the outputs. One registered with `stands_for` returns an operator of kir and
the inputs of that: what an operator means whose parameters, such as axes or a shape, are computed by the model.

An operator with other attributes than these, or with a graph inside, has no meaning. Floats come in the dtype of the
file, and in float64 for the reference: results have the dtype of the inputs, or of `op.types`, which are widened then,
too. An output that is left out may be anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kir.ir.op import Array, Op
from kir.ir.types import TensorType

F = TypeVar("F", bound=Callable[..., Any])


class Carried(Protocol):
    """A `kir.ops.opaque.Opaque`, as far as a meaning reads it."""

    @property
    def domain(self) -> str: ...
    @property
    def op_type(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def settings(self) -> tuple[tuple[str, Any], ...]: ...
    @property
    def types(self) -> tuple[TensorType, ...]: ...
    @property
    def encoded(self) -> str: ...
    @property
    def captured(self) -> int: ...


@dataclass(frozen=True)
class Meaning:
    """What an operator computes.

    Attributes:
        function: see the module.
        exact: every right implementation gives the same bits, as where elements are only moved.
        random: it draws other numbers at every call.
        since: the oldest version of the operator that means this.
        before: the first version that means something else.
        settings: the names of the attributes that the function takes.
        required: those of them that it cannot do without.
        takes_op: whether it wants the operator itself.
        stands_for: whether the function returns an operator of kir with its inputs, and not the outputs.
    """

    function: Callable[..., Any]
    exact: bool
    random: bool
    since: int
    before: int
    settings: frozenset[str]
    required: frozenset[str]
    takes_op: bool
    stands_for: bool

    def __call__(self, op: Carried, *inputs: Any) -> tuple[Any, ...]:
        """Return the outputs of an operator that means this."""
        result = self._call(op, *inputs)
        if self.stands_for:
            operator, given = result
            result = operator.eval(*given)
        return result if isinstance(result, tuple) else (result,)

    def resolve(self, op: Carried, *inputs: Any) -> tuple[Op, tuple[Array | None, ...]] | None:
        """Return the operator of kir that this is on some inputs, and the inputs of that; None if it is none."""
        return self._call(op, *inputs) if self.stands_for else None

    def _call(self, op: Carried, *inputs: Any) -> Any:
        more = {"op": op} if self.takes_op else {}
        return self.function(*inputs, **dict(op.settings), **more)

    def covers(self, op: Carried) -> bool:
        """Return whether an operator of this name means this."""
        given = {name for name, _ in op.settings}
        return self.since <= op.version < self.before and self.required <= given <= self.settings


MEANINGS: dict[tuple[str, str], list[Meaning]] = {}

NEVER = 1 << 31  # a version that no operator will have


def means(
    *op_types: str, domain: str = "", exact: bool = False, random: bool = False, since: int = 1, before: int = NEVER
) -> Callable[[F], F]:
    """Register a function as the meaning of operators; the arguments are the fields of `Meaning`.

    Several functions may be the meaning of one operator, in other versions or with other attributes.
    """

    return _register(op_types, domain, exact=exact, random=random, since=since, before=before)


def stands_for(*op_types: str, domain: str = "", since: int = 1, before: int = NEVER) -> Callable[[F], F]:
    """Register a function that returns the operator of kir that an operator is on some inputs; see the module."""
    return _register(op_types, domain, since=since, before=before, is_operator=True)


def _register(
    op_types: tuple[str, ...],
    domain: str,
    *,
    exact: bool = False,
    random: bool = False,
    since: int,
    before: int,
    is_operator: bool = False,
) -> Callable[[F], F]:
    def register(function: F) -> F:
        keyword = [one for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
        settings = frozenset(one.name for one in keyword) - {"op"}
        required = frozenset(one.name for one in keyword if one.default is one.empty) - {"op"}
        takes_op = any(one.name == "op" for one in keyword)
        meaning = Meaning(function, exact, random, since, before, settings, required, takes_op, is_operator)
        for op_type in op_types:
            MEANINGS.setdefault((domain, op_type), []).append(meaning)
        return function

    return register


def meaning_of(op: Carried) -> Meaning | None:
    """Return what an operator computes, if kir knows it."""
    if op.captured or op.encoded:
        return None
    return next((one for one in MEANINGS.get((op.domain, op.op_type), ()) if one.covers(op)), None)
