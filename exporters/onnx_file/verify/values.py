"""The values inside a file while onnxruntime runs it: what every operator was given, and what it made of it.

All values of a graph are outputs of a session, in groups where they would take too much memory; what the nodes of a
group read belongs to it. onnxruntime rewrites nothing in it.

Floats of 16 bits: between nodes onnxruntime leaves results unrounded in float32, even where they are outputs. So there
the file runs once more, cut into its nodes: each reads from inputs, which are what the first run gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto

from kir.errors import ShapeError
from kir.exporters.onnx_file.emitter import onnx_dtype
from kir.exporters.onnx_file.mapped import LeanModel
from kir.exporters.onnx_file.probe import GIVEN, computed_names
from kir.exporters.onnx_file.session import Session
from kir.exporters.onnx_file.verify.runs import run_checked
from kir.ir.dims import bind_dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.interpreter import bind_sizes, check_feeds
from kir.ir.op import Array, Op
from kir.ir.structural import Assume, Constant, Input, Output
from kir.ir.types import TensorType
from kir.numerics.cost import count_elements
from kir.ops.linear import Dense

GROUP_BYTES = 128 << 20


@dataclass(frozen=True)
class NodeRun:
    """One run of one node in onnxruntime.

    Attributes:
        node: the node.
        op: its operator, symbolic sizes bound.
        inputs: what it was given; None for an absent input.
        outputs: what it made of it; None for an output that nobody reads.
        linear: of a Dense with an activation the result before that; None if the file does not have it as a value.
        activated: what its activation was given: another than `linear` where the file was cut there.
    """

    node: Node
    op: Op
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]
    linear: Array | None = None
    activated: Array | None = None


@dataclass
class _Group:
    """Nodes whose values are asked for together: their names and types, and the bytes that they take."""

    nodes: list[Node] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    bytes: int = 0


class FileValues:
    """The values of a graph in the file that holds it.

    Attributes:
        nodes: the nodes that compute something, in the order of the graph.
        missing: those of them of which the file does not have all values, with the first that it lacks: its name, or
            where it comes from, if a node of the file computes what several nodes of the graph do.
        linear_names: what the result of a Dense before its activation is called in the file.
    """

    def __init__(self, graph: Graph, names: Mapping[Value, str], lean: LeanModel, provider: str) -> None:
        self._names, self._lean, self._provider = names, lean, provider
        self._graph = graph
        self._inputs = {node.op.label: node.op for node in graph.inputs if isinstance(node.op, Input)}
        model = lean.load()
        self._computed = computed_names(model)
        self._outputs = {output.name for output in model.graph.output}
        self.nodes = [node for node in graph.order() if not isinstance(node.op, Assume | Input | Output | Constant)]
        self.linear_names = _find_linear(model, self.nodes, names)
        self.missing = dict(self._find_missing())
        self._loaded: tuple[tuple[str, ...], Session, Session | None] | None = None

    def _find_missing(self) -> Iterator[tuple[Node, str]]:
        present = self._computed | self._inputs.keys()
        for node in self.nodes:
            for value in (*node.inputs, *node.outputs):
                if value is None or isinstance(value.node.op, Constant):
                    continue
                name = self._names.get(value)
                if name is None and value in node.inputs:
                    yield node, f"result of {value.node.op.name} alone"
                    break
                if name is not None and name not in present:
                    yield node, repr(name)
                    break

    def run(
        self, feeds: Mapping[str, Array], sizes: Mapping[str, int], threads: int | None = None
    ) -> Iterator[NodeRun]:
        """Yield what every node was given and made of it, in the order of the graph.

        Args:
            feeds: an array for every input.
            sizes: the values of the symbolic sizes of the inputs, from which the memory is estimated.
            threads: as of `make_session`.

        Raises:
            KirError: as `make_session` and `run_session`.
        """
        fed = check_feeds(self._inputs, feeds)
        known = bind_sizes(self._inputs, fed)
        for group in self._group(sizes):
            first, second = self._sessions(group, threads)
            given = {**fed, **run_checked(first, feeds)}
            made = given
            if second is not None:
                cut = {f"{name}{GIVEN}": given[name] for name in self._cut_names(group)}
                made = {**fed, **run_checked(second, {**feeds, **cut})}
            for node in group.nodes:
                yield self._node_run(node, given, made, known)

    def _node_run(
        self, node: Node, given: Mapping[str, Array], made: Mapping[str, Array], known: dict[str, int]
    ) -> NodeRun:
        inputs = tuple([None if value is None else self._array(value, given) for value in node.inputs])
        outputs = tuple([made[self._names[value]] if value in self._names else None for value in node.outputs])
        op = node.op.bind(known) if node.op.symbols() else node.op
        for value, array in zip(node.outputs, outputs, strict=True):
            if array is not None and array.ndim == value.type.rank:
                for dim, size in zip(value.type.shape, array.shape, strict=True):
                    with suppress(ShapeError):  # another size than the graph says shows where the node is compared
                        bind_dim(dim, size, known)
        name = self.linear_names.get(node)
        if name is None:
            return NodeRun(node, op, inputs, outputs)
        return NodeRun(node, op, inputs, outputs, made[name], given[name])

    def _array(self, value: Value, given: Mapping[str, Array]) -> Array:
        return value.node.op.value.array if isinstance(value.node.op, Constant) else given[self._names[value]]

    # Groups and their sessions

    def _group(self, sizes: Mapping[str, int]) -> Iterator[_Group]:
        types = {
            value: type
            for node, outputs in self._graph.infer_types(sizes)
            if not isinstance(node.op, Output)
            for value, type in zip(node.outputs, outputs, strict=True)
        }
        group = _Group()
        for node in self.nodes:
            if node in self.missing:
                continue
            wanted = {
                self._names[value]: types[value]
                for value in (*node.inputs, *node.outputs)
                if value is not None and self._names.get(value) in self._computed
            }
            if node in self.linear_names:
                wanted[self.linear_names[node]] = types[node.output]
            more = sum(_bytes(type) for name, type in wanted.items() if name not in group.types)
            if group.nodes and group.bytes + more > GROUP_BYTES:
                yield group
                group, more = _Group(), sum(map(_bytes, wanted.values()))
            group.nodes.append(node)
            group.types |= wanted
            group.bytes += more
        if group.nodes:
            yield group

    def _sessions(self, group: _Group, threads: int | None) -> tuple[Session, Session | None]:
        """Return a session that gives the values of a group, and the one that is cut, if there are 16-bit floats."""
        names = tuple(group.types)
        if self._loaded is None or self._loaded[0] != names:
            self._loaded = None  # before another takes its memory
            wanted = [name for name in names if name not in self._outputs]
            first = self._lean.session_with(wanted, self._provider, optimize=False, threads=threads)
            narrow = self._cut_names(group)
            types = {name: (onnx_dtype(group.types[name].dtype), group.types[name].rank) for name in narrow}
            second = self._lean.session_cut(types, wanted, self._provider) if narrow else None
            self._loaded = names, first, second
        return self._loaded[1:]

    def _cut_names(self, group: _Group) -> list[str]:
        return [name for name, type in group.types.items() if type.dtype.is_float and type.dtype.itemsize == 2]


def _bytes(type: TensorType) -> int:
    return type.dtype.itemsize * count_elements(type)


def _find_linear(model: ModelProto, nodes: Sequence[Node], names: Mapping[Value, str]) -> dict[Node, str]:
    """Return what the results of Dense nodes are called before their activation, where the file has them as values."""
    wanted = [node for node in nodes if isinstance(node.op, Dense) and node.op.activation is not None]
    if not wanted:
        return {}
    products: dict[tuple[str, ...], NodeProto] = {}
    sums: dict[tuple[str, ...], NodeProto] = {}
    for written in model.graph.node:
        if written.op_type in ("Gemm", "MatMul"):
            products[tuple(written.input)] = written
        elif written.op_type == "Add":
            sums[tuple(written.input)] = written
    found: dict[Node, str] = {}
    for node in wanted:
        read = tuple([names[value] for value in node.inputs if value is not None and value in names])
        product = products.get(read) or products.get(read[:2])
        if product is not None and len(product.input) < len(read):
            product = sums.get((product.output[0], read[2]))
        if product is not None and product.output[0] != names.get(node.output):
            found[node] = product.output[0]
    return found
