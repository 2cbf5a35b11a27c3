"""The base class of operators. An operator says what one node computes.

An operator is a frozen dataclass in `kir/ops/<group>.py`. Its fields are the attributes; the parameters of `infer` are
the inputs, and their names are the printed and exported input names. An input whose parameter has a default of None is
optional.

No exporter and no pass may hang a method here: ONNX names live in `exporters/onnx_file/ops/`, algebra in
`kir/passes`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy.typing as npt

from kir.errors import ShapeError, UnsupportedError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.types import CarriedType, DType, TensorType, require_sizes
from kir.support.caching import cached
from kir.support.limits import MAX_INT64

Array: TypeAlias = npt.NDArray[Any]
Types: TypeAlias = TensorType | tuple[TensorType, ...]


class Inner:
    """A graph inside an operator. `kir.ir.body.Body` is the only kind: graphs know operators, and not the reverse."""

    graph: Any

    def bind(self, sizes: Mapping[str, Dim]) -> Inner:
        raise NotImplementedError

    def widen(self) -> Inner:
        raise NotImplementedError


@dataclass(frozen=True)
class Op:
    """One operator with its attributes. Equal operators on equal inputs compute equal values.

    Subclasses define two methods, with one parameter per input:

    - `infer` returns the output type, or a tuple of them, from the input types. It raises ShapeError where these do not
      fit the operator.
    - `eval` returns the output array, or a tuple of them, from the input arrays, and never writes into these. All
      symbolic attributes are bound before (see `bind`). Float results have the input's float dtype.
    """

    infer: ClassVar[Callable[..., Types]]
    eval: ClassVar[Callable[..., Any]]

    # Whether equal inputs always give equal outputs; only then may nodes be merged or folded.
    deterministic: ClassVar[bool] = True

    # Whether the results have sizes that their inputs' shapes do not say.
    introduces_sizes: ClassVar[bool] = False

    # Whether it takes values of a `CarriedType`.
    takes_carried: ClassVar[bool] = False

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        """Return the function that a plan calls on arrays of these types: `eval`, or a faster one with equal results.

        The caller has bound symbolic attributes, and silences NumPy's warnings, as `eval` does by itself.
        """
        return self.eval

    def prepare_wide(self, *types: TensorType | None) -> Callable[..., Any]:
        """Return the function that a plan in float64 calls on widened arrays; the types are those of the model."""
        return self.widen().prepare(*[None if type is None else widened_type(type) for type in types])

    @property
    def name(self) -> str:
        return type(self).__name__

    def bodies(self) -> tuple[Any, ...]:
        """Return the graphs inside this operator, each a `kir.ir.body.Body`."""
        return ()

    def run(self, bodies: Sequence[Callable[[Sequence[Array]], list[Array]]], *inputs: Array | None) -> Any:
        """Return what `eval` returns, given functions that run the graphs inside: only operators that have some."""
        raise NotImplementedError

    def attributes(self) -> dict[str, Any]:
        """Return the field values by name, in the order of declaration."""
        return {field: getattr(self, field) for field in field_names(type(self))}

    def map_attributes(self, change: Callable[[Any], object]) -> Self:
        """Return this operator with `change` applied to every attribute; itself when nothing changes."""
        changed = {}
        for name in field_names(type(self)):
            value = getattr(self, name)
            new = change(value)
            if new is not value:
                changed[name] = new
        return dataclasses.replace(self, **changed) if changed else self

    def bind(self, sizes: Mapping[str, Dim]) -> Self:
        """Return this operator with the symbolic sizes in its attributes replaced; itself when it has none."""
        return self.map_attributes(lambda value: _substitute_attribute(value, sizes))

    def widen(self) -> Self:
        """Return this operator for a run in float64: every float dtype among its attributes becomes float64."""
        return self.map_attributes(_widen_attribute)

    def symbols(self) -> frozenset[str]:
        """Return the names of the symbolic sizes among the attributes."""
        sizes = (item for _, item in self._items() if isinstance(item, Sym))
        return frozenset[str]().union(*(size.names() for size in sizes))

    def require_integers(self) -> None:
        """Refuse integers among the attributes that ONNX and NumPy cannot write in 64 bits.

        Raises:
            ShapeError: one needs more.
        """
        for name, item in self._items():
            if isinstance(item, int) and abs(item) > MAX_INT64 + 1:
                value = getattr(self, name)
                raise ShapeError(f"{self.name} cannot have {name}={value}; expected integers of 64 bits")

    def _items(self) -> Iterator[tuple[str, object]]:
        """Yield each attribute, or each item of one that is a tuple, with the attribute's name."""
        for name in field_names(type(self)):
            value = getattr(self, name)
            for item in value if isinstance(value, tuple) else (value,):
                yield name, item

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={format_attribute(value)}" for name, value in self.attributes().items())
        return f"{self.name}({shown})" if shown else self.name


@cached
def field_names(cls: type[Op]) -> tuple[str, ...]:
    """Return the names of an operator's attributes."""
    return tuple(field.name for field in dataclasses.fields(cls))


@cached
def input_names(cls: type[Op]) -> tuple[str, ...]:
    """Return the names of an operator's inputs, read from `infer`; a variadic input is one name with a star."""
    parameters = list(inspect.signature(cls.infer).parameters.values())[1:]
    return tuple(f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters)


def widened_type(type: TensorType) -> TensorType:
    """Return the type of a value in a run in float64."""
    return type.with_dtype(DType.FLOAT64) if type.dtype.is_float else type


def _substitute_attribute(value: object, sizes: Mapping[str, Dim]) -> object:
    if isinstance(value, Sym):
        return substitute(value, sizes)
    if isinstance(value, Inner):
        return value.bind(sizes)
    if isinstance(value, tuple) and any(isinstance(item, Sym) for item in value):
        return tuple(substitute(item, sizes) if isinstance(item, Sym) else item for item in value)
    return value


def _widen_attribute(value: object) -> object:
    if isinstance(value, Inner):
        return value.widen()
    return DType.FLOAT64 if isinstance(value, DType) and value.is_float else value


def format_attribute(value: object) -> str:
    """Return an attribute's value as the printed graph shows it."""
    if isinstance(value, Op | DType | Sym | TensorType):
        return str(value)
    if isinstance(value, tuple):
        items = ", ".join(format_attribute(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    return repr(value)


# The types of outputs


# Types are immutable, and a graph repeats few of them. Operators without attributes all have one hash: the class tells
# them apart. Those without inputs are not here, since a Constant would be hashed with its data; nor are graphs.
def _infer_anew(cls: type[Op], op: Op, *types: TensorType | None) -> tuple[TensorType, ...]:
    op.require_integers()
    if not cls.takes_carried:
        _refuse_carried(op, types)
    return tuple(map(require_sizes, as_tuple(op.infer(*types))))


_infer = cached(_infer_anew, 4096)


def _refuse_carried(op: Op, types: Iterable[TensorType | None]) -> None:
    for type in types:
        if isinstance(type, CarriedType):
            raise UnsupportedError(f"{op.name} received {type}; expected a tensor of known rank and type")


def output_types(op: Op, types: list[TensorType | None]) -> tuple[TensorType, ...]:
    """Return the types of an operator's outputs, from those of its inputs; None for an absent one.

    Raises:
        ShapeError: the operator cannot work on these types.
    """
    remembers = types and op.__class__.bodies is Op.bodies
    return _infer(op.__class__, op, *types) if remembers else _infer_anew(op.__class__, op, *types)


def as_tuple(types: Types) -> tuple[TensorType, ...]:
    """Return what `infer` returns as a tuple, also where it is one type."""
    return types if isinstance(types, tuple) else (types,)
