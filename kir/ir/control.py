"""The base of operators with graphs inside."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from kir.errors import ShapeError
from kir.ir.body import Body
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.interpreter import evaluate
from kir.ir.op import Array, Op, Types
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType


@dataclass(frozen=True)
class ControlOp(Op):
    """An operator with graphs inside; `types` are those of its outputs."""

    types: tuple[TensorType, ...]

    @abstractmethod
    def with_bodies(self, *bodies: Body) -> Self:
        """Return the same operator with other bodies that take and give the same."""

    @property
    def deterministic(self) -> bool:  # type: ignore[override]  # it depends on what is inside
        nodes = (node for body in self.bodies() for node in body.graph.order())
        return all(node.op.deterministic or isinstance(node.op, Input | Output) for node in nodes)

    def bind(self, sizes: Mapping[str, Dim]) -> Self:
        types = tuple(type.with_shape(tuple(substitute(dim, sizes) for dim in type.shape)) for type in self.types)
        bodies = tuple(body.bind(sizes) for body in self.bodies())
        return replace(self.with_bodies(*bodies), types=types)

    def symbols(self) -> frozenset[str]:
        dims = (dim for type in self.types for dim in type.shape)
        own = frozenset[str]().union(*(dim.names() for dim in dims if isinstance(dim, Sym)))
        return own.union(*(body.symbols() for body in self.bodies()))

    def eval(self, *inputs: Array | None) -> Any:
        results = evaluate(self, *inputs)
        return results[0] if len(results) == 1 else results

    def outputs(self) -> Types:
        """Return what `infer` returns of types that fit."""
        return self.types[0] if len(self.types) == 1 else self.types

    def require_alike(self, what: str, given: Sequence[TensorType | None], expected: Sequence[TensorType]) -> None:
        """Raise ShapeError if what goes into a body, or comes out, has another element type or rank than it says."""
        alike = len(given) == len(expected) and all(
            one is not None and (one.dtype, one.rank) == (other.dtype, other.rank)
            for one, other in zip(given, expected, strict=True)
        )
        if not alike:
            shown = [", ".join(map(str, types)) or "nothing" for types in (given, expected)]
            raise ShapeError(f"{self.name} has the {what} {shown[0]}; expected {shown[1]}")
