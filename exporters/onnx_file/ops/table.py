"""The table of how operators are written in ONNX, which the modules beside this one fill.

The operators of `SAME` are written as they are. Each of the others has one function, registered with `exports`; so have
those of `SAME` that are younger than opset 13, for the opsets before them. In float64 many operators are written by the
formulas of `formulas.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx import TensorProto, helper

from kir.errors import UnsupportedError
from kir.exporters.onnx_file import formulas
from kir.exporters.onnx_file.emitter import Emitter, FileTensor, onnx_dtype
from kir.exporters.onnx_file.expression import Expression
from kir.exporters.onnx_file.schemas import find_refused
from kir.ir.control import ControlOp
from kir.ir.op import Op, field_names, output_types
from kir.ir.structural import Assume, Constant, Input, Output
from kir.ir.types import DType, as_dtype
from kir.ops.onnx_forms import SAME
from kir.ops.opaque import Opaque

Names = str | tuple[str, ...]
Exporter = Callable[..., Names]


EXPORTERS: dict[type[Op], Exporter] = {}

# Written by whoever builds the file: they are its inputs, outputs and initializers, or nothing.
STRUCTURAL: frozenset[type[Op]] = frozenset({Assume, Input, Output, Constant})


def exports(*classes: type[Op]) -> Callable[[Exporter], Exporter]:
    """Register a function that writes these operators.

    It is called with the emitter, the operator and its inputs (None for an absent one), and returns output names.
    """

    def register(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(classes, function))
        return function

    return register


def supported_ops() -> frozenset[type[Op]]:
    """Return every operator that can be written as ONNX."""
    return frozenset(SAME) | frozenset(EXPORTERS) | STRUCTURAL


# What every operator that is written takes at every opset; None is an input that is absent.
ALWAYS_TAKEN = frozenset({DType.FLOAT32, DType.INT64, DType.BOOL, None})

# What computes the same as an element type that an operator does not take, before the result is cast back.
WIDER = {
    **dict.fromkeys((DType.FLOAT16, DType.BFLOAT16), DType.FLOAT32),
    **dict.fromkeys((DType.INT8, DType.INT16, DType.UINT8, DType.UINT16), DType.INT32),
    **dict.fromkeys((DType.INT32, DType.UINT32), DType.INT64),
}


def emit(emitter: Emitter, op: Op, *inputs: FileTensor | None) -> tuple[str, ...]:
    """Write one operator and return the names of its outputs.

    Where ONNX's operators do not take an element type at the opset, they compute in a wider one, between casts.

    Raises:
        UnsupportedError: the operator has no ONNX form (at the emitter's opset, in the inputs' types).
    """
    for x in inputs:
        if x is not None:
            emitter.types[x.name] = x.type
    refused = _find_refused(emitter, op, inputs)
    if refused is None:
        return _emit(emitter, op, inputs)
    op_type, dtype = refused
    wider = WIDER.get(dtype)
    widened = [x if x is None or x.type.dtype is not dtype else _change_dtype(x, wider or dtype) for x in inputs]
    if wider is None or _find_refused(emitter, op, widened) is not None:
        raise UnsupportedError(
            f"ONNX's {op_type} takes no {dtype.keras_name} at opset {emitter.opset}; use float32 there, or a newer "
            "opset"
        )
    names = _emit(emitter, op, [x if x is y else _cast(emitter, x, y) for x, y in zip(widened, inputs, strict=True)])
    wanted, found = (output_types(op, [None if x is None else x.type for x in given]) for given in (inputs, widened))
    emitter.types.update(zip(names, found, strict=True))
    return tuple(
        emitter.node("Cast", [name], to=onnx_dtype(own.dtype)) if name and own.dtype is not computed.dtype else name
        for name, own, computed in zip(names, wanted, found, strict=True)
    )


def _find_refused(emitter: Emitter, op: Op, inputs: Sequence[FileTensor | None]) -> tuple[str, DType] | None:
    """Return the operator of ONNX and the type that it does not take, if any: it is tried once for each types."""
    dtypes = tuple([None if x is None else x.type.dtype for x in inputs])
    if ALWAYS_TAKEN.issuperset(dtypes) or isinstance(op, Opaque | ControlOp):
        return None
    key = (op, dtypes)
    if key not in emitter.refused:
        trial = emitter.trial()
        given = [None if x is None else x._replace(name=f"input {index}") for index, x in enumerate(inputs)]
        try:
            _emit(trial, op, given)
        except UnsupportedError:
            return None  # for a reason that the true attempt tells
        known = {x.name: x.type.dtype for x in given if x is not None}
        known |= {name: as_dtype(array.dtype) for name, array in trial.initializers}
        emitter.refused[key] = find_refused(trial.graph.node, known, emitter.opset)
    return emitter.refused[key]


def _change_dtype(x: FileTensor, dtype: DType) -> FileTensor:
    return FileTensor(x.name, x.type.with_dtype(dtype), None if x.value is None else x.value.astype(dtype.numpy))


def _cast(emitter: Emitter, wanted: FileTensor | None, given: FileTensor | None) -> FileTensor:
    assert wanted is not None
    assert given is not None
    name = emitter.node("Cast", [given.name], to=onnx_dtype(wanted.type.dtype))
    emitter.types[name] = wanted.type
    return wanted._replace(name=name)


def _emit(emitter: Emitter, op: Op, inputs: Sequence[FileTensor | None]) -> tuple[str, ...]:
    formula = formulas.FLOAT64_FORMULAS.get(type(op))
    if formula is not None and all(value is not None and value.type.dtype is DType.FLOAT64 for value in inputs):
        return (formula(op, *(Expression.of(emitter, value) for value in inputs if value is not None)).name,)
    same = SAME.get(type(op))
    if same is not None and emitter.opset >= same.since:
        attributes = {same.renamed.get(name, name): getattr(op, name) for name in field_names(op.__class__)}
        return (emitter.node(same.name, names_of(inputs), **attributes),)
    function = EXPORTERS.get(type(op))
    if function is None:
        advice = "see `kir ops` for what has" if same is None else f"it has one since opset {same.since}"
        raise UnsupportedError(f"{op} has no ONNX form at opset {emitter.opset}; {advice}")
    result = function(emitter, op, *inputs)
    return result if isinstance(result, tuple) else (result,)


def names_of(inputs: Sequence[FileTensor | None]) -> list[str]:
    return ["" if value is None else value.name for value in inputs]


def scalar_like(emitter: Emitter, value: float, x: FileTensor) -> str:
    """Return a constant scalar of x's dtype."""
    return emitter.constant(value, "scalar", x.type.dtype.numpy)


def zero_tensor(dtype: DType) -> TensorProto:
    """Return what ConstantOfShape fills a tensor with."""
    zero: Any = "" if dtype is DType.STRING else 0
    return helper.make_tensor("value", onnx_dtype(dtype), [1], [zero])
