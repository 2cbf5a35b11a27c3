"""The table of how ONNX's operators are read, which the modules beside this one fill, and what they share.

An operator that means the same, without attributes, is read by the table that the exporter writes it with, `SAME`. Each
of the others has one function, registered with `imports`, for all its versions since opset 7. An operator without a
function is unknown.

A function is called with the `OperatorCall` and the node's inputs (None for an absent one), and returns its outputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.op import Op, field_names, input_names
from kir.ops.elementwise import Mul
from kir.ops.onnx_forms import SAME

Results = Operand | Sequence[Operand | None]
Importer = Callable[..., Results]

IMPORTERS: dict[str, Importer] = {}


def imports(*op_types: str) -> Callable[[Importer], Importer]:
    """Register a function that reads these operators; those of another domain than ONNX's own with its name."""

    def register(function: Importer) -> Importer:
        IMPORTERS.update(dict.fromkeys(op_types, function))
        return function

    return register


def translate(call: OperatorCall, inputs: Sequence[Operand | None]) -> Sequence[Operand | None]:
    """Return the outputs of a node.

    The operator is one of `IMPORTERS`, and the inputs have passed `check_inputs`.

    Raises:
        UnsupportedError: kir cannot say it.
        FormatError: the node is not as ONNX defines its operator.
        KirError: the operator refuses its inputs.
    """
    results = IMPORTERS[call.op_type](call, *inputs)
    unread = call.attributes.unread()
    if unread:
        raise UnsupportedError(f"kir does not know the attribute {', '.join(unread)} of ONNX's {call.op_type}")
    return [results] if isinstance(results, Operand) else results


def check_inputs(op_type: str, inputs: Sequence[Operand | None]) -> None:
    """Check that a node has as many inputs as its operator, and those that must not be absent.

    Raises:
        UnsupportedError: kir has no such operator.
        FormatError: it has too few, too many, or lacks one.
    """
    importer = IMPORTERS.get(op_type)
    if importer is None:
        name = op_type if "." in op_type else f"ONNX's {op_type}"
        raise UnsupportedError(f"kir has no operator for {name}")
    least, most, required = _arity(importer)
    if not least <= len(inputs) <= most:
        expected = f"{least}" if least == most else f"{least} or more" if most == ANY_NUMBER else f"{least} to {most}"
        raise FormatError(f"{op_type} received {len(inputs)} inputs; expected {expected}")
    if None in inputs[:required]:
        raise FormatError(f"input {inputs.index(None)} of {op_type} is absent; expected a value")


ANY_NUMBER = 1 << 31


@cache
def _arity(importer: Importer) -> tuple[int, int, int]:
    """Return the least and the largest number of inputs, and how many must not be absent, of a function that reads."""
    parameters = list(inspect.signature(importer).parameters.values())[1:]
    required = len([p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL])
    variadic = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if variadic is None:
        return required, len(parameters), required
    may_be_absent = variadic.annotation == "Operand | None"
    return max(required, 1), ANY_NUMBER, required if may_be_absent else ANY_NUMBER


# Operators that mean the same


def _unary(cls: type[Op]) -> Importer:
    op = cls()

    def importer(call: OperatorCall, x: Operand) -> Results:
        return call.add(op, x)

    return importer


def _binary(cls: type[Op]) -> Importer:
    op = cls()

    def importer(call: OperatorCall, a: Operand, b: Operand) -> Results:
        return call.add(op, a, b)

    return importer


for _cls, _same in SAME.items():
    if not field_names(_cls):
        _count = len(input_names(_cls))
        if _count <= 2:
            IMPORTERS[_same.name] = _unary(_cls) if _count == 1 else _binary(_cls)


def scaled(call: OperatorCall, x: Operand, factor: float) -> Operand:
    """Return x times a number."""
    return call.add(Mul(), x, call.translator.constant(factor, x.type.dtype))
