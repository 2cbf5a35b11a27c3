"""The base class of operators: what one node computes.

An operator is a frozen dataclass in `kir/ops/<group>.py`. Its fields are the attributes; the parameters of
`infer` and `eval` are the inputs, and their names are the printed and exported input names. An input whose
parameter has a default of None is optional.

No exporter and no pass may hang a method here: ONNX names live in `exporters/onnx_file/ops/`, algebra in
`kir/passes`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

from kir.errors import ShapeError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.types import DType, TensorType
from kir.support.caching import cached
from kir.support.limits import MAX_INT64

Array = Any  # np.ndarray[Any, Any]; every eval takes and returns arrays of any dtype
Types = TensorType | tuple[TensorType, ...]


@dataclasses.dataclass(frozen=True)
class Op:
    """One operator with its attributes. Equal operators on equal inputs compute equal values.

    Subclasses define `infer` and `eval` with one parameter per input. A subclass whose results differ from
    call to call says `deterministic = False`.
    """

    def infer(self, *args: Any, **kwargs: Any) -> Types:
        """The output type, or a tuple of them, from the input types.

        Raises:
            ShapeError: the input types do not fit the operator.
        """
        raise TypeError(f"{type(self).__name__} must define infer")

    def eval(self, *args: Any, **kwargs: Any) -> Any:
        """The output array, or a tuple of them, from the input arrays. It never writes into its inputs.

        All symbolic attributes are bound before (see `bind`). Float results have the input's float dtype.
        """
        raise TypeError(f"{type(self).__name__} must define eval")

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        """What a plan calls on arrays of these types: `eval`, or what gives the same bits with less ado.

        Its caller binds symbolic attributes before, and silences NumPy's warnings, as `eval` does by itself.
        """
        return self.eval

    @property
    def deterministic(self) -> bool:
        """Whether equal inputs always give equal outputs; only then may nodes be merged or folded."""
        return True

    @property
    def name(self) -> str:
        return type(self).__name__

    def attributes(self) -> dict[str, Any]:
        """Field values by name, in the order of declaration."""
        return {field: getattr(self, field) for field in field_names(type(self))}

    def map_attributes(self, change: Any) -> Self:
        """This operator with `change` applied to every attribute; itself when nothing changes."""
        changed = {}
        for name in field_names(type(self)):
            value = getattr(self, name)
            new = change(value)
            if new is not value:
                changed[name] = new
        return dataclasses.replace(self, **changed) if changed else self

    def bind(self, sizes: Mapping[str, Dim]) -> Self:
        """This operator with symbolic sizes in its attributes replaced; itself when there are none."""
        return self.map_attributes(lambda value: _substitute_attribute(value, sizes))

    def widen(self) -> Self:
        """This operator for float64 execution: every float dtype among its attributes becomes float64."""
        return self.map_attributes(
            lambda value: DType.FLOAT64 if isinstance(value, DType) and value.is_float else value
        )

    def symbols(self) -> frozenset[str]:
        """Names of the symbolic sizes among the attributes."""
        found: set[str] = set()
        for value in self.attributes().values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Sym):
                    found |= item.names()
        return frozenset(found)

    def require_integers(self) -> None:
        """Nothing, if all integers among the attributes are such as ONNX and NumPy write in 64 bits.

        Raises:
            ShapeError: one needs more.
        """
        for name in field_names(type(self)):
            value = getattr(self, name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, int) and abs(item) > MAX_INT64 + 1:
                    raise ShapeError(f"{self.name} cannot have {name}={value}; expected integers of 64 bits")

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={format_attribute(value)}" for name, value in self.attributes().items())
        return f"{self.name}({shown})" if shown else self.name


@cached
def field_names(cls: Any) -> tuple[str, ...]:
    """The names of an operator's attributes."""
    return tuple(field.name for field in dataclasses.fields(cls))


@cached
def input_names(cls: Any) -> tuple[str, ...]:
    """The names of an operator's inputs, read from `infer`; a variadic input is one name with a star."""
    parameters = list(inspect.signature(cls.infer).parameters.values())[1:]
    return tuple(f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters)


def _substitute_attribute(value: Any, sizes: Mapping[str, Dim]) -> Any:
    if isinstance(value, Sym):
        return substitute(value, sizes)
    if isinstance(value, tuple) and any(isinstance(item, Sym) for item in value):
        return tuple(substitute(item, sizes) if isinstance(item, Sym) else item for item in value)
    return value


def format_attribute(value: Any) -> str:
    """An attribute's value as the printed graph shows it."""
    if isinstance(value, Op | DType | Sym | TensorType):
        return str(value)
    if isinstance(value, tuple):
        items = ", ".join(format_attribute(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    return repr(value)
