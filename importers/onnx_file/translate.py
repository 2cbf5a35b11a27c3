"""The means by which the functions of `ops/` read and write: operands of a file, and the graph that they become.

An operand enters the graph when something computes with it. A shape, an axis or a ratio that only says how an operator
works ends up in its attributes, and what computed it is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from onnx import GraphProto

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.names import SizeNames
from kir.importers.onnx_file.reading import Array, Attributes
from kir.importers.onnx_file.sizes import Sizes, sizes_of_array
from kir.ir.dims import Dim, is_known
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Data, constant
from kir.ir.types import DType, TensorType, normalize_axis, type_of
from kir.ops.shape import Concat, Reshape, Size


class Pending:
    """Part of something that the exporter wrote as several nodes, and that is an operator only as a whole."""

    what = "part of an operator"

    @property
    def type(self) -> TensorType:
        """Its type, if it can stand alone."""
        raise UnsupportedError(f"{self.what} is used in a way that kir does not know")

    def complete(self, translator: Translator) -> Value:
        """Return what it is when nothing more comes, if it can stand alone."""
        raise UnsupportedError(f"{self.what} is used in a way that kir does not know")


@dataclass(slots=True, eq=False)
class Operand:
    """The meaning of a name in the file; at least one field says it.

    value: in the graph, once something computes with it.
    array: of an initializer or a Constant node.
    sizes: its elements, where they are known or symbolic.
    pending: it becomes part of an operator, see `Pending`.
    carry: carries its node through instead, if it becomes no part of an operator.
    """

    name: str
    value: Value | None = None
    array: Array | None = None
    sizes: Sizes | None = None
    pending: Pending | None = None
    label: str | None = None
    origin: Origin | None = None
    carry: Callable[[], Value] | None = None

    @classmethod
    def of_array(cls, name: str, array: Array, label: str | None, origin: Origin | None) -> Operand:
        return cls(name, array=array, sizes=sizes_of_array(array), label=label, origin=origin)

    @property
    def is_shape(self) -> bool:
        """Return whether it was computed from shapes alone, and is not in the graph."""
        return self.value is None and self.array is None and self.sizes is not None

    @property
    def type(self) -> TensorType:
        """Raises UnsupportedError for a part of an operator."""
        if self.value is not None:
            return self.value.type
        if self.array is not None:
            return type_of(self.array)
        if self.sizes is None:
            return self._type_of_pending()
        return TensorType(DType.INT64, () if self.sizes.is_scalar else (len(self.sizes.items),))

    def _type_of_pending(self) -> TensorType:
        assert self.pending is not None
        try:
            return self.pending.type
        except UnsupportedError:
            if self.carry is None:
                raise
        self.value = self.carry()
        return self.value.type


class Scope(Protocol):
    """The reader of a graph, which reads the graphs inside its operators as well."""

    def captured(self, graphs: Sequence[GraphProto]) -> dict[str, Operand]: ...

    def read_body(self, graph: GraphProto, types: Sequence[TensorType], captured: Mapping[str, Operand]) -> Graph: ...

    def read_here(self, graph: GraphProto, captured: Mapping[str, Operand]) -> list[Operand]: ...


@dataclass
class Translator:
    """A reader of operands that appends to a graph. `origin` is the layer of the node that is being translated.

    Args:
        graph: what is built.
        opset: the version of ONNX's operators in the file.
        written_by_kir: whether this exporter wrote the file.
        reads: how often each name of the file is read.
        size_names: the symbols of the file's sizes.
        hints: types that the file states of values.
        scope: reads graphs inside operators.
    """

    graph: Graph
    opset: int
    written_by_kir: bool
    reads: Mapping[str, int]
    size_names: SizeNames
    hints: Mapping[str, TensorType] = field(default_factory=dict)
    origin: Origin | None = None
    scope: Scope | None = None

    def value(self, operand: Operand) -> Value:
        """Return the operand in the graph, where it is put if it is not there yet.

        Raises:
            UnsupportedError: it is a part of an operator.
        """
        if operand.value is None:
            operand.value = self._materialize(operand)
        return operand.value

    def _materialize(self, operand: Operand) -> Value:
        if operand.array is not None:
            return self.graph.add(Constant(Data(operand.array), operand.label), origin=operand.origin).output
        if operand.sizes is None:
            assert operand.pending is not None
            try:
                return operand.pending.complete(self)
            except UnsupportedError:
                if operand.carry is None:
                    raise
                return operand.carry()
        if operand.sizes.is_scalar:
            return self._size(operand.sizes.items[0], operand.origin)
        parts = [self._run_of_sizes(run, operand.origin) for run in _runs(operand.sizes.items)]
        return parts[0] if len(parts) == 1 else self.graph.add(Concat(0), *parts, origin=operand.origin).output

    def _size(self, dim: Dim, origin: Origin | None) -> Value:
        op = constant(np.int64(dim)) if is_known(dim) else Size(dim)
        return self.graph.add(op, origin=origin).output

    def _run_of_sizes(self, run: Sequence[Dim], origin: Origin | None) -> Value:
        if all(map(is_known, run)):
            return self.graph.add(constant(np.array(run, np.int64)), origin=origin).output
        return self.graph.add(Reshape((1,)), self._size(run[0], origin), origin=origin).output

    def add(self, op: Op, *inputs: Operand | None) -> Operand:
        """Add a node and return its only output."""
        return Operand("", self.graph.add(op, *self._values(inputs), origin=self.origin).output)

    def add_all(self, op: Op, *inputs: Operand | None) -> list[Operand]:
        """Add a node and return its outputs."""
        return [Operand("", value) for value in self.graph.add(op, *self._values(inputs), origin=self.origin).outputs]

    def _values(self, operands: Iterable[Operand | None]) -> list[Value | None]:
        return [None if operand is None else operand.value or self.value(operand) for operand in operands]

    def constant(self, array: object, dtype: DType) -> Operand:
        """Return a constant that the file does not have."""
        return Operand("", array=np.asarray(array, dtype.numpy), origin=self.origin)

    def shape(self, items: Sequence[Dim], is_scalar: bool = False) -> Operand:
        """Return sizes that were computed from shapes."""
        return Operand("", sizes=Sizes(tuple(items), is_scalar), origin=self.origin)

    def is_read_once(self, operand: Operand) -> bool:
        """Return whether the node being translated is the only one in the file that reads this name."""
        return self.reads.get(operand.name, 0) == 1


def _runs(items: Sequence[Dim]) -> list[Sequence[Dim]]:
    runs: list[list[Dim]] = []
    for item in items:
        if runs and is_known(item) and is_known(runs[-1][-1]):
            runs[-1].append(item)
        else:
            runs.append([item])
    return list(runs) or [[]]


@dataclass(slots=True)
class OperatorCall:
    """One node of the file: its attributes, and readers for inputs that say how the operator works."""

    translator: Translator
    op_type: str
    attributes: Attributes
    outputs: tuple[str, ...]

    @property
    def opset(self) -> int:
        return self.translator.opset

    def add(self, op: Op, *inputs: Operand | None) -> Operand:
        """See `Translator.add`."""
        return self.translator.add(op, *inputs)

    def sizes(self, operand: Operand | None, what: str) -> tuple[Dim, ...]:
        """Return the integers of an input.

        Raises:
            UnsupportedError: they are known only when the model runs.
        """
        if operand is None:
            raise FormatError(f"the {what} is absent")
        if operand.sizes is None:
            raise UnsupportedError(f"{self.op_type} takes its {what} from computed values; kir needs them known")
        return operand.sizes.items

    def known(self, operand: Operand | None, what: str) -> tuple[int, ...]:
        """Return the integers of an input that cannot be symbolic, such as axes."""
        sizes = self.sizes(operand, what)
        known = tuple(size for size in sizes if isinstance(size, int))
        if len(known) != len(sizes):
            raise UnsupportedError(f"{self.op_type} takes its {what} from sizes; kir needs them known")
        return known

    def array(self, operand: Operand, what: str) -> Array:
        """Return the numbers of an input that must be constant."""
        if operand.array is not None:
            return operand.array
        value = operand.value
        if value is not None and isinstance(value.node.op, Constant):
            return value.node.op.value.array
        if operand.sizes is not None and operand.sizes.is_known:
            return np.array(operand.sizes.items, np.int64).reshape(operand.type.shape)
        raise UnsupportedError(f"{self.op_type} takes its {what} from what the model computes; kir needs a constant")

    def axes(self, given: Sequence[int], rank: int) -> tuple[int, ...]:
        """Return axes counted from the front, in the order given.

        Raises:
            ShapeError: one is out of range.
        """
        return tuple(normalize_axis(axis, rank) for axis in given)
