"""The types that a file states of its values, compared with those that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import TensorProto, TensorShapeProto, TypeProto, ValueInfoProto

from kir.exporters.onnx_file.verify.graph_content import GraphContent
from kir.numerics.report import Finding
from kir.support.onnx_types import type_text

Dimension = TensorShapeProto.Dimension


class TypeComparison:
    """Compares stated types. Names of sizes may be others, as long as each stands for one size throughout."""

    def __init__(self, expected: GraphContent, found: GraphContent) -> None:
        self._expected, self._found = expected, found
        self._sizes: dict[str, str] = {}  # what the names of sizes in the file stand for

    def problems(self) -> Iterator[Finding]:
        """Yield what a file states wrongly; what it does not state is not wrong."""
        for role in ("inputs", "outputs"):
            found, expected = (
                [str(value.name) for value in getattr(side, role)] for side in (self._found, self._expected)
            )
            if found != expected:
                yield Finding(f"the {role} are {', '.join(found)} in the file, {', '.join(expected)} in the model")
        stated: dict[str, TypeProto] = {value.name: value.type for value in _all(self._found)}
        for value in _all(self._expected):
            type = stated.get(value.name)
            if type is not None and not self._agree(type, value.type):
                yield Finding(f"is {_text(type)} in the file, {_text(value.type)} in the model", tensor=value.name)

    def _agree(self, found: TypeProto, expected: TypeProto) -> bool:
        kind = found.WhichOneof("value")
        if kind != "tensor_type":
            return kind is None or type_text(found) == type_text(expected)
        type, wanted = found.tensor_type, expected.tensor_type
        if type.elem_type not in (TensorProto.UNDEFINED, wanted.elem_type):
            return False
        if not type.HasField("shape"):
            return True
        sizes, others = type.shape.dim, wanted.shape.dim
        return len(sizes) == len(others) and all(map(self._is_size, sizes, others))

    def _is_size(self, found: Dimension, expected: Dimension) -> bool:
        if found.HasField("dim_value"):
            return found.dim_value == expected.dim_value if expected.HasField("dim_value") else found.dim_value < 0
        if not found.dim_param or not expected.dim_param:
            return True
        return self._sizes.setdefault(found.dim_param, expected.dim_param) == expected.dim_param


def _all(graph: GraphContent) -> Sequence[ValueInfoProto]:
    return [*graph.inputs, *graph.outputs, *graph.types]


def _text(type: TypeProto) -> str:
    kind = type.WhichOneof("value")
    if kind != "tensor_type":
        return str(kind)
    tensor = type.tensor_type
    names = TensorProto.DataType.items()
    name = next((name.lower() for name, value in names if value == tensor.elem_type), f"type {tensor.elem_type}")
    dims = [d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in tensor.shape.dim]
    return f"{name}[{', '.join(dims)}]"
