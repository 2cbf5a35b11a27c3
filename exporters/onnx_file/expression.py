"""Values in the file being written that can be calculated with: every operation on one writes a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kir.exporters.onnx_file.emitter import Emitter, FileTensor, onnx_dtype
from kir.ir.types import DType

Number = float | Sequence[float]


def _operation(op_type: str) -> Callable[[Expression, Expression | Number], Expression]:
    return lambda self, other: self.apply(op_type, other)


@dataclass(frozen=True, slots=True)
class Expression:
    """A value; numbers that it meets become constants of its dtype.

    A comparison gives the condition for `where`. It keeps the dtype of what was compared, for the numbers to choose
    between.
    """

    emitter: Emitter
    name: str
    dtype: DType

    @classmethod
    def of(cls, emitter: Emitter, tensor: FileTensor) -> Expression:
        return cls(emitter, tensor.name, tensor.type.dtype)

    def apply(self, op_type: str, *others: Expression | Number, **attributes: Any) -> Expression:
        """Return a new node with this and others as its inputs."""
        inputs = [self.name, *(self.lift(other).name for other in others)]
        return replace(self, name=self.emitter.node(op_type, inputs, **attributes))

    def lift(self, given: Expression | Number) -> Expression:
        """Return a number (or several) as a constant of this dtype; an expression as it is."""
        if isinstance(given, Expression):
            return given
        hint = "scalar" if isinstance(given, int | float) else "table"
        return replace(self, name=self.emitter.constant(given, hint, self.dtype.numpy))

    def cast(self, dtype: DType) -> Expression:
        return replace(self.apply("Cast", to=onnx_dtype(dtype)), dtype=dtype)

    def where(self, chosen: Expression | Number, otherwise: Expression | Number) -> Expression:
        """Return one value where this condition holds, another elsewhere."""
        return self.apply("Where", chosen, otherwise)

    __add__ = _operation("Add")
    __sub__ = _operation("Sub")
    __mul__ = _operation("Mul")
    __truediv__ = _operation("Div")
    __gt__ = _operation("Greater")
    __ge__ = _operation("GreaterOrEqual")

    def __rsub__(self, other: Number) -> Expression:
        return self.lift(other) - self

    def __neg__(self) -> Expression:
        return self.apply("Neg")

    def __abs__(self) -> Expression:
        return self.apply("Abs")
