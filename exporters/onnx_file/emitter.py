"""The emitter that the functions of `ops/` write with: nodes, initializers, and sizes known only at run time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, helper

from kir.errors import UnsupportedError
from kir.ir.dims import Atom, Dim, FloorDiv, Min, Operation, Sym, is_known
from kir.ir.graph import Origin
from kir.ir.types import CarriedType, DType, Shape, TensorType
from kir.ops.onnx_forms import TYPE_NAMES
from kir.support.caching import cached
from kir.support.naming import Names
from kir.support.onnx_types import fill_type

Array = np.ndarray[Any, Any]

# Merging equal initializers that the exporter itself makes (shapes, axes, scalars) costs a hash of their bytes.
MAX_MERGED_BYTES = 4096


# Nodes that compute nothing, and how many of them in a row onnxruntime is expected to see through.
MOVERS = frozenset({"Transpose", "Cast", "Identity", "Dropout", "Reshape"})
MAX_MOVES = 16


class FileTensor(NamedTuple):
    """An input of an operator in the file being written: its name, its type, its value if it is an initializer."""

    name: str
    type: TensorType
    value: Array | None = None


class Emitter:
    """A writer that appends nodes to an ONNX graph.

    Names are unique without the caller's doing. All nodes that are written between two calls of `begin` belong to one
    operator of the graph, and carry its layer in their name and in `metadata_props`.
    """

    def __init__(self, opset: int, names: Names) -> None:
        self.opset = opset
        self.graph = GraphProto()
        self.domains: dict[str, int] = {}  # the version of every domain of operators in use but ONNX's own
        self.initializers: list[tuple[str, Array]] = []
        self.used: tuple[bool, ...] = ()
        self.types: dict[str, TensorType] = {}  # of the values that are known
        self._names = names
        self._origin: Origin | None = None
        self._first_node = 0
        self._merged: dict[tuple[Any, ...], str] = {}
        self._weights: dict[tuple[int, str], str] = {}
        self._is_inner = False
        self._axes: dict[Dim, tuple[str, int]] = {}  # where each size can be read: the first axis that has it
        self._shapes: dict[str, Shape] = {}  # of the values offered
        self._sizes: dict[Dim | tuple[str, int, int] | str, str] = {}
        self._movers: dict[str, NodeProto] = {}  # the nodes of `MOVERS`, by their output
        self.refused: dict[Any, tuple[str, DType] | None] = {}  # what `ops.table.emit` has found out

    def trial(self) -> Emitter:
        """Return an emitter in which the current operator can be tried: it knows the same sizes and has no nodes."""
        other = Emitter(self.opset, Names())
        other.used, other.refused = self.used, self.refused
        other._axes, other._shapes = self._axes, self._shapes
        return other

    def inner(self) -> Emitter:
        """Return an emitter for a graph inside the current operator.

        It sees the values, the sizes and the constants that are written, which it adds to; its own are not seen here.
        """
        other = Emitter(self.opset, self._names)
        other.domains, other.initializers, other._merged = self.domains, self.initializers, self._merged
        other.refused, other._weights, other._is_inner = self.refused, self._weights, True
        other._axes, other._shapes, other._sizes = self._axes.copy(), self._shapes.copy(), self._sizes.copy()
        return other

    def unique(self, wanted: str) -> str:
        """Return a name of a value that nothing else has."""
        return self._names.unique(wanted)

    # Nodes and initializers

    def begin(self, origin: Origin | None, used: tuple[bool, ...] = ()) -> None:
        """Let new nodes belong to an operator of the given layer; `used` says which of its outputs are read."""
        self._origin = origin
        self.used = used
        self._first_node = len(self.graph.node)

    def node(
        self, op_type: str, inputs: Sequence[str], domain: tuple[str, int] | None = None, **attributes: Any
    ) -> str:
        """Add a node with one output, and return its name."""
        return self.nodes(op_type, inputs, 1, domain=domain, **attributes)[0]

    def nodes(
        self,
        op_type: str,
        inputs: Sequence[str],
        n_outputs: int,
        used: Sequence[bool] = (),
        domain: tuple[str, int] | None = None,
        **attributes: Any,
    ) -> tuple[str, ...]:
        """Add a node with several outputs, and return their names; "" for an absent one.

        An absent input is "", and absent inputs at the end are dropped; so are attributes of None. A bool is written
        as 0 or 1. Outputs that are not in `used` are absent too, where the operator allows that, and dropped at the
        end. The first output is never absent: onnxruntime's own tools take two nodes without one for a cycle. `domain`
        is that of the operator with its version, if it is not one of ONNX's own.
        """
        origin = self._origin
        name = self._names.unique(f"{origin.path}/{op_type}" if origin is not None and origin.path else op_type)
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        outputs = self._output_names(name, used or (True,) * n_outputs)
        written = outputs if outputs[-1] else outputs[: max(index for index, one in enumerate(outputs) if one) + 1]
        # In one call: each access to a message from Python costs as much as filling it.
        node: NodeProto = self.graph.node.add(op_type=op_type, name=name, input=inputs, output=written)
        if op_type in MOVERS:
            self._movers[outputs[0]] = node
        if domain is not None:
            node.domain, self.domains[domain[0]] = domain
        for key, value in attributes.items():
            if value is not None:
                node.attribute.append(helper.make_attribute(key, int(value) if isinstance(value, bool) else value))
        if self._origin is not None:
            metadata = node.metadata_props
            metadata.add(key="kir.layer", value=self._origin.path)
            metadata.add(key="kir.class", value=self._origin.layer)
        return outputs

    def _output_names(self, node: str, used: Sequence[bool]) -> tuple[str, ...]:
        if len(used) == 1:
            return (self._names.unique(f"{node}/output"),)
        return tuple(
            [self._names.unique(f"{node}/output_{i}") if is_used or i == 0 else "" for i, is_used in enumerate(used)]
        )

    def weight(self, array: Array, label: str) -> str:
        """Return an initializer of its own, kept by reference; the name is `label` if that is free.

        Graphs inside operators share those of one label.
        """
        key = (id(array), label)
        if self._is_inner and key in self._weights:
            return self._weights[key]
        name = self._names.unique(label)
        self.initializers.append((name, array))
        self._weights[key] = name
        return name

    def constant(self, value: object, hint: str, dtype: npt.DTypeLike = np.int64) -> str:
        """Return an initializer of the exporter's own making, one for each small value; named by `hint`."""
        array = np.asarray(value, dtype)
        if array.nbytes > MAX_MERGED_BYTES or array.dtype == object:
            return self.weight(array, hint)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._merged:
            self._merged[key] = self.weight(array, hint)
        return self._merged[key]

    def rename_output(self, old: str, new: str) -> bool:
        """Give an output of the current operator's nodes a name. Return False, and do nothing, if it is none of theirs.

        O(nodes of the operator). Nothing but these nodes may have read the old name.
        """
        nodes = self.graph.node[self._first_node :]
        if old in self._sizes.values() or not any(old in node.output for node in nodes):
            return False
        for node in nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
        if old in self._movers:
            self._movers[new] = self._movers.pop(old)
        self.types.pop(old, None)
        return True

    def permutations(self, name: str, dtype: DType) -> Iterator[tuple[int, ...]]:
        """Yield the permutations of Transposes in a row that onnxruntime may find between a value and a cast before it.

        It finds a cast where one is written, and where it puts one itself: before an operator that has no kernel for
        16 bits. Nodes that change nothing do not count.
        """
        is_cast = dtype.itemsize == 2
        permutation: tuple[int, ...] = ()
        for _ in range(MAX_MOVES):
            node = self._movers.get(name)
            if node is None or (node.op_type == "Reshape" and not self._keeps_shape(node)):
                return
            is_cast = is_cast or node.op_type == "Cast"
            if node.op_type == "Transpose":
                before = tuple(node.attribute[0].ints)
                permutation = tuple(before[axis] for axis in permutation) if permutation else before
                if is_cast:
                    yield permutation
            name = node.input[0]

    def _keeps_shape(self, node: NodeProto) -> bool:
        before, after = (self._shapes.get(name) for name in (node.input[0], node.output[0]))
        return before is not None and before == after

    # Sizes

    def offer(self, name: str, shape: Shape, *, composite: bool) -> None:
        """Let sizes be read from this value's shape from here on, if they could not be read before.

        With `composite`, also those that are no plain name, such as ``2*length``.
        """
        self._shapes[name] = shape
        for axis, dim in enumerate(shape):
            if isinstance(dim, Sym) and dim not in self._axes and (composite or dim.name is not None):
                self._axes[dim] = (name, axis)

    def sizes(self, dims: Sequence[Dim]) -> str:
        """Return the i64[n] value of n sizes: an initializer if all are known, else read from the shapes of values."""
        if all(map(is_known, dims)):
            return self.constant(dims, "sizes")
        parts: list[str] = []
        position = 0
        while position < len(dims):
            taken = self._run_length(dims, position)
            parts.append(self._run(dims[position : position + taken]))
            position += taken
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=0)

    def size(self, dim: Dim) -> str:
        """Return the i64[1] value of a size, computed once.

        Raises:
            UnsupportedError: a name in it is the size of no axis of what was offered.
        """
        if isinstance(dim, int):
            return self.constant([dim], "size")
        if dim not in self._sizes:
            self._sizes[dim] = self._read(*self._axes[dim], 1) if dim in self._axes else self._compute(dim)
        return self._sizes[dim]

    def scalar(self, dim: Dim) -> str:
        """Return the i64[] value of a size."""
        if isinstance(dim, int):
            return self.constant(dim, "size")
        return self.node("Squeeze", [self.size(dim), self.constant([0], "axes")])

    def _run_length(self, dims: Sequence[Dim], start: int) -> int:
        """Return how many sizes from `start` on one node or initializer can give."""
        first = dims[start]
        end = start + 1
        if isinstance(first, int):
            while end < len(dims) and is_known(dims[end]):
                end += 1
        elif first in self._axes:
            label, axis = self._axes[first]
            shape = self._shapes[label][axis:]
            while end < len(dims) and end - start < len(shape) and dims[end] == shape[end - start]:
                end += 1
        return end - start

    def _run(self, dims: Sequence[Dim]) -> str:
        if is_known(dims[0]):
            return self.constant(dims, "sizes")
        return self.size(dims[0]) if len(dims) == 1 else self._read(*self._axes[dims[0]], len(dims))

    def _read(self, label: str, axis: int, count: int) -> str:
        """Return the sizes of `count` axes of a value from `axis` on."""
        key = (label, axis, count)
        if key not in self._sizes:
            self._sizes[key] = self._slice_shape(label, axis, axis + count)
        return self._sizes[key]

    def _slice_shape(self, label: str, start: int, end: int) -> str:
        if self.opset >= 15:
            return self.node("Shape", [label], start=start, end=end)
        if label not in self._sizes:
            self._sizes[label] = self.node("Shape", [label])
        bounds = [self.constant([bound], "bound") for bound in (start, end, 0)]
        return self.node("Slice", [self._sizes[label], *bounds])

    def _compute(self, dim: Sym) -> str:
        total = ""
        # A positive term first, so that no sum has to start with a negation.
        for monomial, coefficient in sorted(dim.terms, key=lambda term: term[1] < 0):
            term = self._term(monomial, abs(coefficient))
            if total:
                total = self.node("Add" if coefficient > 0 else "Sub", [total, term])
            else:
                total = term if coefficient > 0 else self.node("Neg", [term])
        return total

    def _term(self, monomial: Sequence[Atom], factor: int) -> str:
        factors = [self._atom(atom) for atom in monomial]
        if factor != 1 or not factors:
            factors.append(self.size(factor))
        result = factors[0]
        for other in factors[1:]:
            result = self.node("Mul", [result, other])
        return result

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, str):
            return self._name(atom)
        dim = Sym((((atom,), 1),))
        if dim not in self._sizes:
            self._sizes[dim] = self._operation(atom)
        return self._sizes[dim]

    def _operation(self, atom: Operation) -> str:
        if isinstance(atom, FloorDiv):
            return self._floor_div(atom)
        assert isinstance(atom, Min), "an operation on sizes must be handled"
        return self.node("Min", [self.size(operand) for operand in atom.operands])

    def _name(self, name: str) -> str:
        dim = Sym((((name,), 1),))
        if dim not in self._axes:
            known = ", ".join(sorted(map(str, self._axes))) or "none"
            raise UnsupportedError(
                f"the size {name!r} is needed when the model runs, but no value before has it (they have {known}); "
                "give a concrete size (--input-shapes, --batch)"
            )
        return self.size(dim)

    def _floor_div(self, atom: FloorDiv) -> str:
        numerator, denominator = self.size(atom.numerator), self.size(atom.denominator)
        if not _is_plainly_positive(atom.numerator):
            # ONNX's Div rounds toward zero. Its Mod takes the divisor's sign: without the rest the division is exact.
            numerator = self.node("Sub", [numerator, self.node("Mod", [numerator, denominator])])
        return self.node("Div", [numerator, denominator])


def _is_plainly_positive(dim: Dim) -> bool:
    """Return whether a sum has no negative term and no division, whatever the names are (sizes are not negative)."""
    if isinstance(dim, int):
        return dim >= 0
    return all(
        coefficient > 0 and all(isinstance(atom, str) for atom in monomial) for monomial, coefficient in dim.terms
    )


def onnx_dtype(dtype: DType) -> int:
    """Return the number of an element type in ONNX."""
    return int(TensorProto.DataType.Value(TYPE_NAMES[dtype].upper()))


def value_info(name: str, type: TensorType) -> ValueInfoProto:
    """Return the name and the type of a value as protobuf."""
    return ValueInfoProto(name=name, type=type_proto(type))


@cached
def type_proto(type: TensorType) -> TypeProto:
    """Return a type as protobuf. Symbolic sizes are given by their text: equal texts are equal sizes."""
    if isinstance(type, CarriedType):
        proto = TypeProto()
        fill_type(proto, type.text)
        return proto
    dims = [{"dim_value": dim} if isinstance(dim, int) else {"dim_param": str(dim)} for dim in type.shape]
    return TypeProto(
        tensor_type=TypeProto.Tensor(
            elem_type=onnx_dtype(type.dtype),
            shape=TensorShapeProto(dim=[TensorShapeProto.Dimension(**dim) for dim in dims]),
        )
    )
