"""The tables of how operators are written in ONNX, which the modules beside this one fill.

`SAME` lists the operators whose ONNX operator means the same, with the same inputs and attributes. Each of the others
has one function, registered with `exports`; so have those of `SAME` that are younger than opset 13, for the opsets
before them. An equal class name alone never means equal semantics. In float64 many operators are written by the
formulas of `formulas.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnx import TensorProto, helper

from kir.errors import UnsupportedError
from kir.exporters.onnx_file import formulas
from kir.exporters.onnx_file.emitter import Emitter, Tensor, onnx_dtype
from kir.exporters.onnx_file.expression import Expression
from kir.op import Op, field_names
from kir.ops.structural import Constant, Input, Output
from kir.types import DType

Names = str | tuple[str, ...]
Exporter = Callable[..., Names]


@dataclass(frozen=True)
class Same:
    """An ONNX operator that means the same. `renamed` maps fields to ONNX attributes of another name."""

    name: str
    since: int = 13
    renamed: Mapping[str, str] = field(default_factory=dict)


SAME: dict[type[Op], Same] = {}
EXPORTERS: dict[type[Op], Exporter] = {}

# Written by whoever builds the file: they are its inputs, outputs and initializers.
STRUCTURAL: frozenset[type[Op]] = frozenset({Input, Output, Constant})


def exports(*classes: type[Op]) -> Callable[[Exporter], Exporter]:
    """Registers a function that writes these operators.

    It is called with the emitter, the operator and its inputs (None for an absent one), and returns output names.
    """

    def register(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(classes, function))
        return function

    return register


def supported_ops() -> frozenset[type[Op]]:
    """Every operator that can be written as ONNX."""
    return frozenset(SAME) | frozenset(EXPORTERS) | STRUCTURAL


def emit(emitter: Emitter, op: Op, *inputs: Tensor | None) -> tuple[str, ...]:
    """Writes one operator and returns the names of its outputs.

    Raises:
        UnsupportedError: the operator has no ONNX form (at the emitter's opset).
    """
    formula = formulas.FLOAT64_FORMULAS.get(type(op))
    if formula is not None and all(value is not None and value.type.dtype is DType.FLOAT64 for value in inputs):
        return (formula(op, *(Expression.of(emitter, value) for value in inputs if value is not None)).name,)
    same = SAME.get(type(op))
    if same is not None and emitter.opset >= same.since:
        attributes = {same.renamed.get(name, name): getattr(op, name) for name in field_names(op.__class__)}
        return (emitter.node(same.name, names_of(inputs), **attributes),)
    function = EXPORTERS.get(type(op))
    if function is None:
        raise UnsupportedError(f"{op} has no ONNX form at opset {emitter.opset}; see `kir ops` for what has")
    result = function(emitter, op, *inputs)
    return result if isinstance(result, tuple) else (result,)


def names_of(inputs: Sequence[Tensor | None]) -> list[str]:
    return ["" if value is None else value.name for value in inputs]


def scalar_like(emitter: Emitter, value: float, x: Tensor) -> str:
    """A constant scalar of x's dtype."""
    return emitter.constant(value, "scalar", x.type.dtype.numpy)


def zero_tensor(dtype: DType) -> TensorProto:
    """What ConstantOfShape fills a tensor with."""
    zero: Any = "" if dtype is DType.STRING else 0
    return helper.make_tensor("value", onnx_dtype(dtype), [1], [zero])
