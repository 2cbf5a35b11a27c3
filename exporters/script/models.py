"""From a model of layers to a script: layers as they are, a Sequential where the model is a chain.

Functions, of a Lambda or given as an activation, are written as what they did to symbolic tensors.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Mapping

from kir import backend as K
from kir import config
from kir.errors import KirError, UnsupportedError
from kir.exporters.script.functions import MAX_UNPACKED, FunctionWriter
from kir.exporters.script.script import MODEL, Script
from kir.exporters.script.text import Group, Piece, call, flat, mapping, number, quote, sequence
from kir.exporters.script.values import Values
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Value
from kir.ir.structural import Input as InputOp
from kir.ir.structural import Output
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import BATCH, DType
from kir.layers.core import Lambda
from kir.modeling.divisible_sizes import input_type
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.sequential import Sequential
from kir.support.naming import snake_case
from kir.support.trees import Tree, flatten, map_structure


def write_model(script: Script, model: Model) -> None:
    """Write a model, and the models inside it before it.

    Raises:
        UnsupportedError: a layer, or an argument of one, cannot be written; the message lists all of them.
    """
    writer = _ModelWriter(script, model)
    write_settings(script, loses_masks=_loses_masks(model))
    for inner in writer.inner_models():
        writer.write(inner, script.names.new(inner.name))
    writer.write(model, MODEL)
    writer.finish()


class _ModelWriter:
    def __init__(self, script: Script, model: Model) -> None:
        self.script = script
        self.model = model
        self.values = Values(script, self._special)
        self.problems: list[str] = []
        self.variables: dict[int, str] = {}  # of tensors and of layers, by their ids
        models = [*self.inner_models(), model]
        self.calls = Counter(id(one.layer) for owner in models for one in owner.recorded)
        self.counted: Counter[str] = Counter()  # how the script's process counts automatic names

    def inner_models(self) -> list[Model]:
        """Return the models inside the model at any depth, each after those inside it."""
        found: dict[int, Model] = {}
        pending: list[Layer] = [self.model]
        while pending:
            layer = pending.pop()
            if isinstance(layer, Model) and layer is not self.model:
                found.pop(id(layer), None)
                found[id(layer)] = layer
            owned = layer.operations if isinstance(layer, Model) else layer.sublayers()
            pending += [inner for inner in owned if inner.sublayers()]
        return list(reversed(found.values()))

    # Models

    def write(self, model: Model, variable: str) -> None:
        """Write the statements that build one model."""
        self.variables[id(model)] = variable
        if type(model) not in (Model, Sequential):
            self.problems.append(f"{model.name}: {type(model).__name__} is a class of its own")
        if _is_chain(model):
            layers = [self._input(model.inputs[0].call.layer), *[self._layer(one.layer, one) for one in model.recorded]]
            self._add_model(model, variable, "Sequential", [sequence(layers)])
        else:
            for x in model.inputs:
                self._assign(x, self._input(x.call.layer))
            for recorded in model.recorded:
                self._write_call(recorded)
            structures = [self._structure(one, "argument") for one in (model.input_structure, model.output_structure)]
            self._add_model(model, variable, "Model", structures)

    def _add_model(self, model: Model, variable: str, kind: str, arguments: list[Piece]) -> None:
        self.script.use("kir", kind)
        frozen: list[tuple[str, Piece]] = [] if model.trainable else [("trainable", "False")]
        self.script.add(f"{variable} = ", call(kind, arguments, [("name", quote(model.name)), *frozen]))

    def finish(self) -> None:
        """Write what the model says beside its layers, and raise the errors."""
        model = self.model
        write_facts(self.script, model.metadata, model.given_output_names)
        self.script.has_weights = bool(model.weights)
        if self.problems:
            listed = "\n".join(f"  {one}" for one in dict.fromkeys(self.problems))
            raise UnsupportedError(f"{model.name} cannot be written as a script of its layers:\n{listed}")

    # Inputs

    def _input(self, layer: Layer) -> Piece:
        if not isinstance(layer, InputLayer):
            self.problems.append(f"{layer.name}: an input that is no Input")
            return "None"
        return input_piece(self.script, layer)

    # Calls

    def _write_call(self, recorded: Call) -> None:
        layer = recorded.layer
        args, kwargs = recorded.arguments
        arguments = call(
            "",
            [self._structure(one, layer.name) for one in args],
            [(name, self._structure(one, layer.name)) for name, one in sorted(kwargs.items())],
        )
        if isinstance(layer, Operation):
            piece = self._operation(layer, recorded, kwargs, arguments)
        else:
            shared = self.calls[id(layer)] > 1
            make = functools.partial(self._layer, layer, recorded)
            piece = self.script.apply(self.variables, layer, layer.name, make, arguments, is_shared=shared)
        self._assign(recorded.outputs, piece)

    def _assign(self, outputs: Tree[KerasTensor], piece: Piece) -> None:
        """Write a statement that names the outputs of a call."""
        leaves = flatten(outputs)
        is_flat = isinstance(outputs, list | tuple) and all(isinstance(item, KerasTensor) for item in outputs)
        if is_flat and len(leaves) <= MAX_UNPACKED:
            names = [self.script.names.new(leaf.name) for leaf in leaves]
            self.variables.update((id(leaf), name) for leaf, name in zip(leaves, names, strict=True))
            self.script.add(f"{', '.join(names)}{',' * (len(names) == 1)} = ", piece)
            return
        name = self.script.names.new(leaves[0].name)
        self.script.add(f"{name} = ", piece)
        self._name_items(outputs, name)

    def _name_items(self, outputs: Tree[KerasTensor], text: str) -> None:
        if isinstance(outputs, Mapping):
            for key, item in outputs.items():
                self._name_items(item, f"{text}[{flat(self.values.piece(key, 'key'))}]")
        elif isinstance(outputs, list | tuple):
            for index, item in enumerate(outputs):
                self._name_items(item, f"{text}[{index}]")
        else:
            self.variables[id(outputs)] = text

    def _operation(self, layer: Operation, recorded: Call, kwargs: Mapping[str, object], arguments: Group) -> Piece:
        """Return a call of a function of the backend; with its name where the script would count another one."""
        function, bound = layer.function, dict[str, object]()
        if isinstance(function, functools.partial) and not function.args:
            bound = function.keywords
            function = function.func
        name = getattr(function, "__name__", "")
        if getattr(K, name, None) is not function or bound.keys() & kwargs.keys():
            return self._traced_operation(layer, recorded)
        usual = {key: one.default for key, one in inspect.signature(function).parameters.items()}
        extra = tuple(
            (f"{key}=", self._structure(value, layer.name))
            for key, value in bound.items()
            if repr(value) != repr(usual.get(key))
        )
        items = (*arguments.items, *extra)
        prefix = snake_case(layer.function_name)
        count = self.counted[prefix]
        if layer.name == (f"{prefix}_{count}" if count else prefix):
            self.counted[prefix] += 1
            return Group(f"{self.script.backend(name)}(", items, ")")
        made = call(self.script.helper("Operation"), [self.script.backend(name)], [("name", quote(layer.name))])
        return self.script.apply({}, layer, layer.name, lambda: made, Group("(", items, ")"))

    def _traced_operation(self, layer: Operation, recorded: Call) -> Piece:
        """Return an operation that is no function of the backend, as a function of its tensors."""
        trace = _Trace(recorded)
        with trace.tracer.layer(layer.name, "Operation"):
            outputs = layer.call(*trace.args, **trace.kwargs)
        name = self.script.names.new(layer.function_name if layer.function_name.isidentifier() else layer.name)
        writer = FunctionWriter(self.script, trace.reads(outputs))
        for tensor in flatten((trace.args, trace.kwargs)):
            if isinstance(tensor, Tensor) and tensor.value not in writer.texts:
                writer.parameter(tensor.value, "x")
        trace.write(writer, outputs, name)
        tensors = dict.fromkeys(self.variables[id(x)] for x in recorded.inputs)
        made = call(self.script.helper("Operation"), [name], [("name", quote(layer.name))])
        return Group(made.head, made.items, f"){call('', tensors).flat}")

    # Layers

    def _layer(self, layer: Layer, recorded: Call | None = None) -> Piece:
        """Return the constructor call of a layer, or the variable of one that has its statement already."""
        if id(layer) in self.variables:
            return self.variables[id(layer)]
        try:
            if isinstance(layer, Lambda):
                return self._lambda(layer, recorded)
            return self.values.constructor(layer)
        except UnsupportedError as error:
            self.problems.append(f"{layer.name}: {error}")
            return call("None")

    def _special(self, value: object) -> Piece | None:
        """Return the variable of a tensor, and a layer inside the arguments of another."""
        if isinstance(value, KerasTensor):
            return self.variables[id(value)]
        return self._layer(value) if isinstance(value, Layer) else None

    def _lambda(self, layer: Lambda, recorded: Call | None) -> Piece:
        """Return a Lambda of a function that is written as what it does to tensors of the types of its call."""
        if recorded is None:
            raise UnsupportedError("a Lambda inside another layer has no inputs to be traced with")
        name = self.script.names.new(_function_name(layer))
        self._function(layer, recorded, name)
        keywords: list[tuple[str, Piece]] = []
        if layer.mask is not None:
            keywords.append(("mask", self._mask(layer, recorded, name)))
        policy = [("dtype", quote(layer.dtype_policy.name))] if layer.dtype_policy.name != "float32" else []
        frozen = [] if layer.trainable else [("trainable", "False")]
        self.script.use("kir.layers", "Lambda")
        return call("Lambda", [name], [*keywords, *policy, *frozen, ("name", quote(layer.name))])

    def _function(self, layer: Lambda, recorded: Call, name: str) -> None:
        trace = _Trace(recorded)
        mask = trace.masks if layer.uses_mask else None
        with trace.tracer.layer(layer.name, "Lambda"):
            args = map_structure(lambda x: layer._autocast(x) if layer.autocast else x, trace.args)
            outputs = layer.call(args[0], mask=mask)
        writer = FunctionWriter(self.script, trace.reads(outputs))
        writer.parameter(trace.values(args[0]), "x" if isinstance(args[0], Tensor) else "inputs")
        if layer.uses_mask:
            writer.optional(None if mask is None else mask.value, "mask")
        trace.write(writer, outputs, name)

    def _mask(self, layer: Lambda, recorded: Call, name: str) -> Piece:
        if not callable(layer.mask):
            return self.values.piece(layer.mask, f"{layer.name}/mask")
        trace = _Trace(recorded)
        with trace.tracer.layer(layer.name, "Lambda"):
            outputs = layer.compute_mask(trace.args[0], trace.masks)
        function = self.script.names.new(f"{name}_mask")
        writer = FunctionWriter(self.script, trace.reads(outputs))
        writer.parameter(trace.values(trace.args[0]), "x")
        writer.parameter(None if trace.masks is None else trace.values(trace.masks), "mask")
        trace.write(writer, outputs, function)
        return function

    def _structure(self, structure: object, what: str) -> Piece:
        """Return the source of a structure of tensors and arguments, with the problems noted instead of raised."""

        def note(problem: str) -> Piece:
            self.problems.append(f"{what}: {problem}")
            return "None"

        return Values(self.script, self._special, note).piece(structure, what)


class _Trace:
    """A recorded call of a Lambda, traced into a graph of its own."""

    def __init__(self, recorded: Call) -> None:
        self.graph = Graph()
        self.tracer = Tracer(self.graph, on_lost_mask="ignore")
        args, kwargs = recorded.arguments
        self._tensors: dict[int, Tensor] = {}
        self.args = map_structure(self._input, args)
        self.kwargs = map_structure(self._input, kwargs)
        masks = map_structure(lambda x: getattr(x, "mask", None), self.args[0])
        self.masks = masks if flatten(masks) else None

    def _input(self, leaf: object) -> object:
        if not isinstance(leaf, KerasTensor):
            return leaf
        if id(leaf) not in self._tensors:
            number = len(self.graph.inputs)
            tensor = self.tracer.add(InputOp(str(number), leaf.type))[0]
            if leaf.mask_type is not None:
                tensor = tensor.with_mask(self.tracer.add(InputOp(f"mask_{number}", leaf.mask_type))[0])
            self._tensors[id(leaf)] = tensor
        return self._tensors[id(leaf)]

    def values(self, structure: Tree[Tensor]) -> Tree[Value]:
        values: Tree[Value] = map_structure(lambda x: x.value, structure)
        return values

    def reads(self, outputs: Tree[Tensor]) -> Mapping[Value, int]:
        counts: Counter[Value] = Counter(tensor.value for tensor in flatten(outputs))
        counts.update(value for node in self.graph.nodes() for value in node.inputs if value is not None)
        return counts

    def write(self, writer: FunctionWriter, outputs: Tree[Tensor], name: str) -> None:
        for index, tensor in enumerate(flatten(outputs)):
            self.graph.add(Output(str(index)), tensor.value)
        for node in self.graph.order():
            if not isinstance(node.op, InputOp | Output):
                writer.add(node)
        writer.finish(name, self.values(outputs))


def input_piece(script: Script, layer: InputLayer) -> Piece:
    """Return the call of `Input` that makes an input layer."""
    keywords: list[tuple[str, Piece]] = []
    sizes = _sizes(script, layer)
    if layer.type.shape[:1] == (BATCH,):
        keywords.append(("shape", sequence(sizes[1:], "()")))
    else:
        keywords.append(("batch_shape", sequence(sizes, "()")))
    if layer.type.dtype is not DType.FLOAT32:
        keywords.append(("dtype", quote(layer.type.dtype.keras_name)))
    if layer.sparse:
        keywords.append(("sparse", "True"))
    if layer.optional:
        keywords.append(("optional", "True"))
    if layer.given is not None:
        keywords.append(("tensor", script.array(layer.given, layer.name)))
    return call(script.use("kir", "Input"), keywords=[*keywords, ("name", quote(layer.name))])


def _sizes(script: Script, layer: InputLayer) -> list[Piece]:
    """Return the sizes as `Input` takes them: None where it would choose the size's name itself."""
    shape = layer.type.shape
    default = input_type(layer.name, [None] * len(shape), layer.type.dtype).shape
    return [_size(script, dim, usual) for dim, usual in zip(shape, default, strict=True)]


def _size(script: Script, dim: Dim, usual: Dim) -> Piece:
    if isinstance(dim, int):
        return str(dim)
    if dim == usual:
        return "None"
    name = dim.name
    if name is not None and input_type("", [name], DType.FLOAT32).shape == (dim,):
        return quote(name)
    return call(script.helper("parse_dim"), [quote(str(dim))])


def write_settings(script: Script, *, loses_masks: bool = False) -> None:
    """Write statements for settings that differ from those that a script starts with."""
    usual = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
    chosen = {name: getattr(config, name)() for name in usual}
    changed = {name: value for name, value in chosen.items() if value != usual[name]}
    if loses_masks:
        changed["on_lost_mask"] = "warn"
    for name, value in changed.items():
        script.use("kir", "config")
        script.add("", call(f"config.set_{name}", [quote(value) if isinstance(value, str) else number(value)]))


def _loses_masks(model: Model) -> bool:
    """Return whether a mask reaches a layer that cannot carry it, which a model read from a Keras file may do."""
    tracer = Tracer(on_lost_mask="error")
    inputs = [tracer.add(InputOp(str(index), x.type))[0] for index, x in enumerate(model.inputs)]
    try:
        model.call(inputs)
    except KirError:
        return True
    return False


def write_facts(script: Script, metadata: Mapping[str, str], output_names: list[str] | None) -> None:
    """Write statements for what a model says beside its layers."""
    if output_names is not None:
        script.add(f"{MODEL}.output_names = ", sequence(map(quote, output_names)))
    if metadata:
        entries = mapping([(quote(key), quote(text)) for key, text in metadata.items()])
        script.add("", call(f"{MODEL}.metadata.update", [entries]))


def _is_chain(model: Model) -> bool:
    """Return whether every layer is called once, on what the one before gave and nothing else."""
    structure = [model.input_structure, model.output_structure]
    if not all(isinstance(x, KerasTensor) for x in structure):
        return False
    last = model.input_structure
    if not isinstance(last.call.layer, InputLayer):
        return False
    seen: set[int] = set()
    for recorded in model.recorded:
        args, kwargs = recorded.arguments
        is_next = len(args) == 1 and args[0] is last and not kwargs and isinstance(recorded.outputs, KerasTensor)
        if not is_next or not recorded.layer.is_layer or id(recorded.layer) in seen:
            return False
        seen.add(id(recorded.layer))
        last = recorded.outputs
    return last is model.output_structure


def _function_name(layer: Lambda) -> str:
    """Return what to call the function of a Lambda: as its author did, or for one without a name like the layer."""
    name = getattr(layer.function, "__name__", "")
    return name if name.isidentifier() else layer.name
