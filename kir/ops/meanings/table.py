"""The table of meanings, by domain and name of the operator, which the modules beside this one fill.

A meaning is a function in NumPy. Its parameters say what it understands:

- positional ones are the inputs, in order; an absent input is None, one that may be absent at the end has a default;
- keyword-only ones are the attributes, by their names in ONNX, with ONNX's defaults; one without a default must be
  given;
- ``**how`` takes those attributes that `more` of `means` names;
- the keyword-only `op`, if it has that, is the operator itself: its `version`, and the `types` of its outputs, in which
  sizes may be unknown.

A function registered with `means` returns the outputs. One registered with `stands_for` returns an operator of kir and
the inputs of that: what an operator means whose parameters, such as axes or a shape, are computed by the model.

An operator with other attributes than these, or with a graph inside, has no meaning. Floats come in float32, or in the
dtype of the file if that has more bits, and in float64 for the reference; those of the results are rounded to the dtype
of `op.types`, which are widened then, too. An output that is left out may be anything. A function that understands only
some values of its attributes says so with `when`: the others have no meaning, and a runtime is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.structural import Data
from kir.ir.types import TensorType
from kir.ops.precision import widen

F = TypeVar("F", bound=Callable[..., Any])
Range: TypeAlias = Callable[[Sequence[TensorType | None], Mapping[str, Any]], Sequence[Dim]]
When: TypeAlias = Callable[[Mapping[str, Any], tuple[TensorType, ...]], bool]


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
        roundings: how many roundings of the size of its inputs it takes, one after the other.
        ranges: by the place of an input that selects elements or counts them, a function of the inputs' types and the
            attributes by name: it returns the sizes up to which, but not equal to, the input goes from 0 on.
        when: whether it understands the values of the attributes, given by name, and the outputs' types.
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
    roundings: float
    ranges: Mapping[int, Range]
    when: When | None

    def __call__(self, op: Carried, *inputs: Any) -> tuple[Any, ...]:
        """Return the outputs of an operator that means this."""
        result = self._call(op, *inputs)
        if self.stands_for:
            operator, given = result
            result = operator.eval(*given)
        found = result if isinstance(result, tuple) else (result,)
        return (*map(_rounded, found, op.types), *found[len(op.types) :])

    def resolve(self, op: Carried, *inputs: Any) -> tuple[Op, tuple[Array | None, ...]] | None:
        """Return the operator of kir that this is on some inputs, and the inputs of that; None if it is none."""
        return self._call(op, *inputs) if self.stands_for else None

    def _call(self, op: Carried, *inputs: Any) -> Any:
        more = {"op": op} if self.takes_op else {}
        settings = {name: value.array if isinstance(value, Data) else value for name, value in op.settings}
        given = inputs if self.stands_for else [x if x is None else widen(x) for x in inputs]
        try:
            return self.function(*given, **settings, **more)
        # An index outside, or inputs that the operator does not take.
        except (LookupError, TypeError, ArithmeticError, AssertionError) as error:
            raise ValueError(str(error)) from error

    def covers(self, op: Carried) -> bool:
        """Return whether an operator of this name means this."""
        given = {name for name, _ in op.settings}
        if not (self.since <= op.version < self.before and self.required <= given <= self.settings):
            return False
        return self.when is None or self.when(dict(op.settings), op.types)


def _rounded(result: Any, type: TensorType) -> Any:
    """Return floats in the output's own precision; they were computed in float32 or more."""
    array = np.asarray(result)
    return array.astype(type.dtype.numpy, copy=False) if array.dtype.kind == "f" and type.dtype.is_float else array


def along(place: int, axis: int | str, default: int = 0, extra: int = 0) -> Range:
    """Return the range that an axis of the input in a place gives; the axis may be an attribute with a default."""

    def find(types: Sequence[TensorType | None], settings: Mapping[str, Any]) -> Sequence[Dim]:
        data = types[place] if place < len(types) else None
        number = settings.get(axis, default) if isinstance(axis, str) else axis
        return [] if data is None else [data.shape[number] + extra]

    return find


MEANINGS: dict[tuple[str, str], list[Meaning]] = {}

NEVER = 1 << 31  # a version that no operator will have


def means(
    *op_types: str,
    domain: str = "",
    exact: bool = False,
    random: bool = False,
    since: int = 1,
    before: int = NEVER,
    more: Iterable[str] = (),
    roundings: float = 1.0,
    ranges: Mapping[int, Range] | None = None,
    when: When | None = None,
) -> Callable[[F], F]:
    """Register a function as the meaning of operators; the arguments are the fields of `Meaning`.

    `more` are the attributes that the function takes without a name for each. Several functions may be the meaning of
    one operator, in other versions or with other attributes.
    """

    return _register(
        op_types,
        domain,
        exact=exact,
        random=random,
        since=since,
        before=before,
        more=frozenset(more),
        roundings=roundings,
        ranges=ranges,
        when=when,
    )


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
    more: frozenset[str] = frozenset(),
    roundings: float = 1.0,
    ranges: Mapping[int, Range] | None = None,
    when: When | None = None,
) -> Callable[[F], F]:
    def register(function: F) -> F:
        keyword = [one for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
        settings = more | frozenset(one.name for one in keyword) - {"op"}
        required = frozenset(one.name for one in keyword if one.default is one.empty) - {"op"}
        chosen = ranges or {}
        takes_op = any(one.name == "op" for one in keyword)
        meaning = Meaning(
            function,
            exact,
            random,
            since,
            before,
            settings,
            required,
            takes_op,
            is_operator,
            roundings,
            chosen,
            when,
        )
        for op_type in op_types:
            MEANINGS.setdefault((domain, op_type), []).append(meaning)
        return function

    return register


def meaning_of(op: Carried) -> Meaning | None:
    """Return what an operator computes, if kir knows it."""
    if op.captured or op.encoded:
        return None
    return next((one for one in MEANINGS.get((op.domain, op.op_type), ()) if one.covers(op)), None)
