"""The Graph of an ONNX model, read node by node."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from kir.errors import FormatError, KirError, ShapeError, UnsupportedError
from kir.importers.onnx_file.assumptions import assuming
from kir.importers.onnx_file.names import (
    SizeNames,
    count_reads,
    label_of_weight,
    layer_classes,
    origin_of,
    origin_of_weight,
    size_texts,
)
from kir.importers.onnx_file.old_opsets import OLDEST_OPSET, OLDEST_WRITTEN, converted, is_outdated
from kir.importers.onnx_file.opaque import read_opaque, with_exact_types
from kir.importers.onnx_file.ops import FOLDED, IMPORTERS, check_inputs, fold_constants, fold_sizes, translate
from kir.importers.onnx_file.output_types import Observe, OutputTypes, WholeModel, stated_types
from kir.importers.onnx_file.reading import (
    Attributes,
    NodeTexts,
    load,
    opset_versions,
    read_dtype,
    read_sparse_tensor,
    read_tensor,
)
from kir.importers.onnx_file.sizes import ELEMENTWISE, require_fit
from kir.importers.onnx_file.translate import Operand, OperatorCall, Pending, Translator
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Provenance, Value
from kir.ir.structural import Assume, Data, Input, Output
from kir.ir.types import CarriedType, DType, TensorType, carried_type, type_of
from kir.ops.opaque import Opaque
from kir.passes.remove_dead import remove_dead
from kir.support.garbage_collection import without_garbage_collection
from kir.support.onnx_files import outer_names, walk_subgraphs
from kir.support.onnx_types import element_text, type_text
from kir.support.text import counted

# The body of a loop whose state changes its size is read twice; so is each in it, again.
MAX_READINGS = 20

# Until then every initializer had to be listed as an input too, so that being one says nothing.
IR_VERSION_OF_DEFAULTS = 4


# Runs a serialized model, whose external data lies in the folder, once: see `Observe`.
ObserveFile: TypeAlias = Callable[[bytes, Path | None, Sequence[str]], Mapping[str, str]]


def import_graph(
    source: Path | ModelProto,
    *,
    strict: bool = False,
    observe: ObserveFile | None = None,
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    batch: Dim | None = None,
) -> Graph:
    """Read an ONNX model as a graph of kir's operators, one for each node.

    What computes shapes becomes symbolic sizes in attributes; an Identity vanishes; Squeeze, Unsqueeze and Flatten are
    Reshapes; what the exporter writes as several nodes is put together again. Inputs, outputs and weights keep their
    names. The file is data that somebody else may have written: nothing in it is run, and weights that lie outside its
    folder are refused.

    Args:
        source: the file, of opset 7 or newer; or the model.
        strict: refuse what would be carried through.
        observe: finds types of values by running the model, for operators of which nobody knows what they give.
        shapes: shapes to give inputs instead of those in the file, by name.
        batch: the size to give the first axis of all inputs where the file leaves it open.

    Raises:
        FormatError: the file cannot be read, or is not a valid ONNX model.
        UnsupportedError: an input or a weight is none that kir can hold; or `strict`, and nodes would be carried
            through: the message lists them all.
    """
    return _read(source, strict, observe, shapes or {}, batch).graph


def import_named(
    source: Path | ModelProto,
    *,
    strict: bool = False,
    observe: ObserveFile | None = None,
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    batch: Dim | None = None,
) -> tuple[Graph, dict[Value, str]]:
    """Return the graph of an ONNX model, and what the file calls its values; see `import_graph`.

    Values of operators that stand for several nodes, or for none, have no name.
    """
    reader = _read(source, strict, observe, shapes or {}, batch)
    return reader.graph, reader.names()


def _read(
    source: Path | ModelProto,
    strict: bool,
    observe: ObserveFile | None,
    shapes: Mapping[str, Sequence[Dim]],
    batch: Dim | None,
) -> _Reader:
    model, folder = load(source)
    opset = opset_versions(model).get("", OLDEST_WRITTEN)
    if opset < OLDEST_OPSET:
        model = converted(model, opset)
    with without_garbage_collection():
        reader = _read_model(model, folder, strict, observe, shapes, batch)
        if reader.outdated:
            with suppress(UnsupportedError):  # what is carried through can be read, and not be written
                reader = _read_model(converted(model, opset), folder, strict, observe, shapes, batch)
    reader.warn_of_carried()
    producer = f"{model.producer_name} {model.producer_version}".strip()
    reader.graph.provenance = Provenance(
        "onnx file", producer, None if folder is None else Path(str(source)), opset=reader.translator.opset
    )
    return reader


def _read_model(
    model: ModelProto,
    folder: Path | None,
    strict: bool,
    observe: ObserveFile | None,
    shapes: Mapping[str, Sequence[Dim]],
    batch: Dim | None,
) -> _Reader:
    reader = _Reader(model, folder, strict, None if observe is None else _observer(observe, model, folder))
    reader.add_sources(shapes, batch)
    for index, node in enumerate(reader.nodes):
        reader.add_node(index, node)
    reader.raise_problems()
    reader.add_outputs()
    remove_dead(reader.graph)
    return reader


def _observer(observe: ObserveFile, model: ModelProto, folder: Path | None) -> Observe:
    def run(names: Sequence[str]) -> Mapping[str, str]:
        try:
            content = model.SerializeToString()
        except ValueError as error:  # it is larger than protobuf writes
            raise FormatError(str(error)) from error
        return observe(content, folder, names)

    return run


class _Reader:
    """The builder of the graph; `operands` holds what each name stands for, None for one of a node that failed."""

    is_inside = False  # an operator, where sizes of branches that are never taken need not fit

    def __init__(self, model: ModelProto, folder: Path | None, strict: bool, observe: Observe | None) -> None:
        self.versions = opset_versions(model)
        opset = self.versions.get("", OLDEST_WRITTEN)
        self.model = model
        self.folder = folder
        self.strict = strict
        self.carried: dict[tuple[str, ...], str] = {}
        self.outdated: set[str] = set()
        self.graph = Graph(str(model.graph.name))
        self.graph.metadata = {str(entry.key): str(entry.value) for entry in model.metadata_props}
        self.operands: dict[str, Operand | None] = {}
        self.problems: dict[str, list[str]] = {}
        written_by_kir = model.producer_name == "kir"
        values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
        names = SizeNames((text for value in values for text in size_texts(value)), written_by_kir)
        self.nodes = [NodeTexts.of(index, node) for index, node in enumerate(model.graph.node)]
        reads = count_reads(self.nodes, [value.name for value in model.graph.output])
        self.translator = Translator(self.graph, opset, written_by_kir, reads, names)
        self.translator.hints = stated_types([*model.graph.value_info, *model.graph.output], names)
        self.translator.scope = self
        inner = sum(len(graph.node) for node in self.nodes if node.attributes for graph in walk_subgraphs(node.node))
        self.budget = [MAX_READINGS * (10 + inner)]
        unknown = [name for node in self.nodes if node.full_type not in IMPORTERS for name in node.outputs if name]
        self.whole = WholeModel(model, unknown, observe)
        self.output_types = OutputTypes(model.graph, self.versions, names, self.whole)

    # Graphs inside operators

    def captured(self, graphs: Sequence[GraphProto]) -> dict[str, Operand]:
        """Return what graphs inside a node read of this one, by name.

        Raises:
            FormatError: they read what nothing before gives.
            UnsupportedError: they read what cannot be read.
        """
        node = NodeProto(attribute=[AttributeProto(type=AttributeProto.GRAPH, g=graph) for graph in graphs])
        found: dict[str, Operand] = {}
        for name in outer_names(node):
            try:
                operand = self.find(name)
            except KeyError:
                raise FormatError(f"a graph inside reads {name!r}, which nothing before it gives") from None
            if operand is None:
                raise UnsupportedError(f"a graph inside reads {name!r}, which cannot be read")
            if not operand.is_shape and operand.array is None:
                self.translator.value(operand)
            found[name] = operand
        return found

    def read_body(self, graph: GraphProto, types: Sequence[TensorType], captured: Mapping[str, Operand]) -> Graph:
        """Return a graph inside an operator, whose inputs are its own, of these types, and all captured values.

        Captured constants and sizes are the same inside, and no inputs.

        Raises:
            FormatError: it is no valid graph.
            UnsupportedError: part of it cannot be read.
        """
        return _BodyReader(self, graph, types, captured).read()

    def read_here(self, graph: GraphProto, captured: Mapping[str, Operand]) -> list[Operand]:
        """Add the nodes of a graph inside an operator, which certainly runs once, to this graph; return its outputs.

        Raises:
            FormatError: it is no valid graph.
            UnsupportedError: part of it cannot be read.
        """
        return _BodyReader(self, graph, (), captured, into=self.graph).read_operands()

    # Inputs and initializers

    def add_sources(self, shapes: Mapping[str, Sequence[Dim]], batch: Dim | None) -> None:
        """Add the inputs in the order of the file, and the initializers, which enter the graph when they are read."""
        graph = self.model.graph
        tensors: dict[str, TensorProto] = {}
        for tensor in graph.initializer:
            if tensor.name in tensors or not tensor.name or isinstance(tensor.name, bytes):
                raise FormatError(f"an initializer is named {tensor.name!r}; expected names that are unique texts")
            tensors[tensor.name] = tensor
        listed = {value.name for value in graph.input}
        for name in shapes:
            if name not in listed:
                raise FormatError(f"there is no input {name!r}; the model's inputs are {', '.join(sorted(listed))}")
        for value in graph.input:
            if value.name not in tensors or self.model.ir_version >= IR_VERSION_OF_DEFAULTS:
                self._add_input(value, tensors.pop(value.name, None), shapes.get(value.name), batch)
        layers = layer_classes(graph.node) if self.translator.written_by_kir else {}
        for name, tensor in tensors.items():
            self._add_initializer(name, tensor, layers)
        self._add_sparse_initializers(graph)

    def _add_input(
        self, value: ValueInfoProto, default: TensorProto | None, shape: Sequence[Dim] | None, batch: Dim | None
    ) -> None:
        what = f"the input {value.name!r}"
        if not value.name or value.name in self.operands or isinstance(value.name, bytes):
            raise FormatError(f"an input is named {value.name!r}; expected names that are unique texts")
        data = None if default is None else Data(read_tensor(default, self.folder))
        try:
            type = self._input_type(value, shape, batch)
        except UnsupportedError:
            if self.strict or default is not None:
                raise
            type = carried_type(type_text(value.type))
            self.whole.observe = None  # what ranks a run shows depends on what is fed
        if data is not None and type_of(data.array).dtype is not type.dtype:
            raise FormatError(f"{what} of type {type} has a default of type {type_of(data.array)}")
        node = self.graph.add(Input(value.name, type, data))
        self.operands[value.name] = Operand(value.name, node.output)

    def _input_type(self, value: ValueInfoProto, shape: Sequence[Dim] | None, batch: Dim | None) -> TensorType:
        tensor = value.type.tensor_type
        what = f"the input {value.name!r}"
        if not value.type.HasField("tensor_type"):
            raise UnsupportedError(f"{what} is no tensor")
        dtype = read_dtype(tensor.elem_type, what)
        if shape is None and not tensor.HasField("shape"):
            raise UnsupportedError(f"{what} has no rank; give its sizes (--input-shapes {value.name}:1,3,224)")
        names = self.translator.size_names
        dims: list[Dim] = []
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                dims.append(dim.dim_value)
            elif dim.HasField("dim_value") and dim.dim_value < -1:
                raise FormatError(f"{what} has the size {dim.dim_value} on axis {axis}; expected 0 or more")
            else:
                dims.append(names.dim(dim.dim_param) if dim.dim_param else names.new(f"{value.name}_{axis}"))
        if batch is not None and dims and not isinstance(dims[0], int):
            dims[0] = batch
        if shape is not None:
            require_fit(what, dims, shape, tensor.HasField("shape"))
            dims = list(shape)
        return TensorType(dtype, tuple(dims))

    def _add_initializer(self, name: str, tensor: TensorProto, layers: Mapping[str, str]) -> None:
        try:
            array = read_tensor(tensor, self.folder)
        except UnsupportedError as error:
            if self.strict:
                self._fail(str(error), f"initializer {name}", [name])
            else:
                self.operands[name] = Operand(name, pending=Pending(), carry=partial(self._carry_tensor, tensor))
            return
        written_by_kir = self.translator.written_by_kir
        label = label_of_weight(name, written_by_kir)
        self.operands[name] = Operand.of_array(name, array, label, origin_of_weight(name, layers))

    def _add_sparse_initializers(self, graph: GraphProto) -> None:
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            if not name or name in self.operands:
                raise FormatError(f"a sparse initializer is named {name!r}; expected names that are unique")
            self.operands[name] = Operand.of_array(name, read_sparse_tensor(sparse, self.folder), name, None)

    def _carry_tensor(self, tensor: TensorProto) -> Value:
        """Carry a tensor of an element type that kir lacks, which only carried operators can read."""
        value = NodeProto(op_type="Constant", output=[tensor.name])
        value.attribute.add(name="value", type=AttributeProto.TENSOR).t.CopyFrom(tensor)
        value.attribute[0].t.ClearField("name")
        sizes = ",".join(map(str, tensor.dims))
        type = carried_type(f"tensor({element_text(tensor.data_type)})[{sizes}]")
        op = read_opaque(value, {"": max(self.translator.opset, OLDEST_WRITTEN)}, (type,), self.folder)
        return self.graph.add(op).output

    # Nodes

    def find(self, name: str) -> Operand | None:
        """Return what a name stands for, None for a value of a node that failed.

        Raises:
            KeyError: nothing before gives it.
        """
        return self.operands[name]

    def add_node(self, index: int, node: NodeTexts) -> None:
        """Add one node, or note that kir has no operator for it.

        Raises:
            FormatError: it reads what nothing before it gives, or gives a name twice, or does not fit its inputs.
        """
        inputs = self._inputs_of(index, node)
        for name in node.outputs:
            if name and name in self.operands:
                raise FormatError(f"{_place(index, node)} gives {name!r}, which is given before; names must be unique")
        if inputs is None:
            self.operands.update(dict.fromkeys(filter(None, node.outputs)))
            return
        self.translator.origin = origin_of(node.node, self.translator.written_by_kir)
        try:
            results = self._results_of(node, inputs)
        except UnsupportedError as error:
            self._fail(str(error), node.name or f"{node.op_type} (node {index})", node.outputs)
            return
        except KirError as error:
            raise FormatError(f"{_place(index, node)}: {error}") from error
        if any(node.outputs[len(results) :]):
            raise FormatError(f"{_place(index, node)} has {len(node.outputs)} outputs; expected {len(results)} at most")
        for output, (name, result) in enumerate(zip(node.outputs, results, strict=False)):
            if name and result is not None:
                result.name = result.name or name
                if result.pending is not None and not self.strict:
                    result.carry = partial(self._carry_for, node, inputs, output)
                self.operands[name] = result

    def _inputs_of(self, index: int, node: NodeTexts) -> list[Operand | None] | None:
        """Return the inputs; None if one comes from a node that failed."""
        found: list[Operand | None] = []
        has_failed = False
        for name in node.inputs:
            try:
                operand = self.find(name) if name else None
            except KeyError:
                place = _place(index, node)
                raise FormatError(
                    f"{place} reads {name!r}, which nothing before it gives; expected nodes in order"
                ) from None
            has_failed = has_failed or (operand is None and name != "")
            found.append(operand)
        return None if has_failed else found

    def _results_of(self, node: NodeTexts, inputs: list[Operand | None]) -> Sequence[Operand | None]:
        domain = node.domain
        if domain not in self.versions:
            raise FormatError(f"the model does not import the domain {domain or 'ai.onnx'} in any version")
        try:
            return assuming(self.translator, inputs, lambda given: self._translate(node, given))
        except (UnsupportedError, ShapeError) as error:
            if not isinstance(error, UnsupportedError) and not self.is_inside:
                raise
            op, outer = self._opaque(node, inputs)
            if self.strict and op.meaning is None:
                raise
            return self._carry(node, op, *inputs, *outer)

    def _translate(self, node: NodeTexts, inputs: list[Operand | None]) -> Sequence[Operand | None]:
        op_type = node.full_type
        for value in (x.value for x in inputs if x is not None and op_type != "Identity"):
            if value is not None and isinstance(value.type, CarriedType):
                raise UnsupportedError(f"{op_type} received {value.type}; kir needs tensors of known rank and type")
        check_inputs(op_type, inputs)
        call = OperatorCall(self.translator, op_type, Attributes(node, self.folder), tuple(node.outputs))
        folded = fold_sizes(call, inputs) if node.op_type in FOLDED else None
        if folded is None:
            return list(map(fold_constants, translate(call, inputs)))
        # Scalars are calculated with in the graph as well: there a size is a value like any other.
        stays = any(x is not None and x.is_shape for x in inputs) and node.op_type not in ("Equal", "Cast")
        if stays and not (folded.is_scalar and node.op_type in ELEMENTWISE):
            return [Operand("", sizes=folded, origin=self.translator.origin)]
        results = translate(call, inputs)
        if results[0] is not None and results[0].type.dtype in (DType.INT64, DType.INT32, DType.BOOL):
            results[0].sizes = folded
        return list(map(fold_constants, results))

    def _opaque(self, texts: NodeTexts, inputs: list[Operand | None]) -> tuple[Opaque, list[Operand]]:
        """Return a node as it is carried, and what its subgraphs read from outside."""
        node = texts.node
        outer: list[Operand] = []
        for name in outer_names(node):
            if name not in self.operands:
                raise FormatError(f"a subgraph reads {name!r}, which nothing before it gives; expected nodes in order")
            operand = self.operands[name]
            if operand is None:
                raise UnsupportedError(f"a subgraph of {node.op_type} reads what cannot be read")
            outer.append(operand)
        op = read_opaque(node, self.versions, self.output_types.of(node, inputs, outer), self.folder)
        if op.deterministic and op.symbols() and all(x is None or x.array is not None for x in inputs):
            with suppress(KirError, ValueError):  # it fails whenever it runs, which it need not
                op = with_exact_types(op, [None if x is None else x.array for x in inputs])
        return op, outer

    def _carry(self, node: NodeTexts, op: Opaque, *inputs: Operand | None) -> Sequence[Operand]:
        if op.meaning is None:
            self.carried[node.op_type, *node.outputs] = node.full_type
        if not op.domain:
            self.outdated |= {op.op_type} if is_outdated(op.op_type, op.version) else set()
        return self.translator.add_all(op, *inputs)

    def _carry_for(self, node: NodeTexts, inputs: list[Operand | None], output: int) -> Value:
        """Carry a node after all, for one of its outputs."""
        op, outer = self._opaque(node, inputs)
        return self.translator.value(self._carry(node, op, *inputs, *outer)[output])

    # Ends

    def _fail(self, reason: str, place: str, outputs: Sequence[str]) -> None:
        self.problems.setdefault(reason, []).append(place)
        self.operands.update(dict.fromkeys(filter(None, outputs)))

    def raise_problems(self) -> None:
        """Do nothing, if every node could be read.

        Raises:
            UnsupportedError: listing every node that could not, by reason.
        """
        if not self.problems:
            return
        lines = [f"{reason} ({', '.join(places)})" for reason, places in self.problems.items()]
        head = "the model cannot be read"
        several = "\n  ".join([f"{head}, for {len(lines)} reasons:", *lines])
        error = UnsupportedError(f"{head}: {lines[0]}" if len(lines) == 1 else several)
        if self.strict:
            error.add_note("without --strict (strict=False) nodes are carried through as they are")
        raise error

    def warn_of_carried(self) -> None:
        """Say which operators are carried through, and how many."""
        if self.carried:
            counts = Counter(self.carried.values())
            names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
            count = f"{counts.total()} of {counted(len(self.nodes), 'node')}"
            warnings.warn(f"carried through as they are, {count}: {names}; --strict says why", stacklevel=4)

    def add_outputs(self) -> None:
        """Add the outputs in the order of the file."""
        for value in self.model.graph.output:
            operand = self.operands.get(value.name)
            if operand is None:
                raise FormatError(f"the output {value.name!r} is given by no node")
            try:
                output = self.translator.value(operand)
                self._warn_of_wrong_type(value.name, output.type)
                self.graph.add(Output(value.name), output)
            except UnsupportedError:
                raise
            except KirError as error:
                raise FormatError(f"the output {value.name!r}: {error}") from error

    def _warn_of_wrong_type(self, name: str, computed: TensorType) -> None:
        stated = self.translator.hints.get(name)
        if stated is not None and not isinstance(computed, CarriedType) and stated.rank != computed.rank:
            warnings.warn(
                f"the file says that the output {name!r} is {stated}, and computes {computed}, which holds",
                stacklevel=4,
            )

    def names(self) -> dict[Value, str]:
        """Return what the file calls the values that are live; of several names the first."""
        order = self.graph.order()
        live = {value for node in order for value in node.outputs}
        names: dict[Value, str] = {}
        for name, operand in self.operands.items():
            if operand is not None and operand.value in live:
                names.setdefault(operand.value, name)
        for node in order:
            if isinstance(node.op, Assume) and node.inputs[0] in names:
                names[node.output] = names[node.inputs[0]]
        return names


class _BodyReader(_Reader):
    """The reader of a graph inside an operator of another reader's graph."""

    is_inside = True

    def __init__(
        self,
        outer: _Reader,
        graph: GraphProto,
        types: Sequence[TensorType],
        captured: Mapping[str, Operand],
        into: Graph | None = None,
    ) -> None:
        self.model, self.proto, self.folder = outer.model, graph, outer.folder
        self.versions, self.strict = outer.versions, outer.strict
        self.budget = outer.budget
        self.budget[0] -= 1 + len(graph.node)
        if self.budget[0] < 0:
            raise UnsupportedError("graphs inside operators are nested so that they are read over and over")
        self.carried, self.outdated = outer.carried, outer.outdated
        self.problems = {}
        self.graph = Graph(str(graph.name)) if into is None else into
        self.nodes = [NodeTexts.of(index, node) for index, node in enumerate(graph.node)]
        around = outer.translator
        reads = count_reads(self.nodes, [value.name for value in graph.output])
        self.translator = Translator(self.graph, around.opset, around.written_by_kir, reads, around.size_names)
        self.translator.hints = stated_types([*graph.value_info, *graph.output], around.size_names)
        self.output_types = OutputTypes(graph, self.versions, around.size_names)
        self.translator.scope = self
        self.operands = {}
        self._add_own_inputs(graph, types)
        for name, operand in captured.items():
            if into is None:
                self._add_captured(name, operand)
            else:
                self.operands[name] = operand

    def _add_own_inputs(self, graph: GraphProto, types: Sequence[TensorType]) -> None:
        if len(graph.input) != len(types):
            raise FormatError(f"a graph inside has {len(graph.input)} inputs; expected {len(types)}")
        for value, type in zip(graph.input, types, strict=True):
            if not value.name or value.name in self.operands:
                raise FormatError(f"an input of a graph inside is named {value.name!r}; expected unique names")
            self.operands[value.name] = Operand(value.name, self.graph.add(Input(value.name, type)).output)

    def _add_captured(self, name: str, operand: Operand) -> None:
        inside = replace(operand, value=None, pending=None)
        if operand.value is not None and operand.array is None:
            inside.value = self.graph.add(Input(name, operand.value.type)).output
        self.operands[name] = inside

    def read(self) -> Graph:
        """Return the graph."""
        for number, operand in enumerate(self.read_operands()):
            self.graph.add(Output(f"output_{number}"), self.translator.value(operand))
        remove_dead(self.graph)
        return self.graph

    def read_operands(self) -> list[Operand]:
        """Add all nodes, and return the outputs."""
        proto = self.proto
        for tensor in proto.initializer:
            self._add_initializer(tensor.name, tensor, {})
        self._add_sparse_initializers(proto)
        for index, node in enumerate(self.nodes):
            self.add_node(index, node)
        self.raise_problems()
        found: list[Operand] = []
        for value in proto.output:
            operand = self.operands.get(value.name)
            if operand is None:
                raise FormatError(f"the output {value.name!r} of a graph inside is given by no node")
            found.append(operand)
        return found


def _place(index: int, node: NodeTexts) -> str:
    return f"node {node.name or index} ({node.op_type})"
