"""The diagram of a model: one box per layer call, so that a shared layer stands once for each use of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kir.exporters.picture.diagram import Box, Diagram, Line, Weights, join_links
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.summary import shown_arguments
from kir.modeling.weight import Weight
from kir.support.trees import flatten


def layers_diagram(model: Model, shown: frozenset[str], expand_nested: bool = False) -> Diagram:
    """Draw the layers of a model. Nested models are one box, or with `expand_nested` drawn inside theirs. O(calls)."""
    diagram = _Writer(model, shown).diagram
    pending = [diagram] if expand_nested else []
    while pending:
        for box in pending.pop().boxes:
            if isinstance(box.identity, Call) and isinstance(box.identity.layer, Model):
                box.inner = _Writer(box.identity.layer, shown).diagram
                box.lines = ()
                pending.append(box.inner)
    return diagram


def source_lines(model: Model) -> dict[str, str]:
    """Return the line that first calls each layer, by the layer's path, as far as known. O(calls)."""
    lines: dict[str, str] = {}
    pending = [(model, "")]
    while pending:
        owner, prefix = pending.pop()
        for call in owner.recorded:
            path = f"{prefix}{call.layer.name}"
            if call.source and path not in lines:
                lines[path] = call.source
                if isinstance(call.layer, Model):
                    pending.append((call.layer, f"{path}/"))
    return lines


class _Writer:
    """Makes the diagram of one model, without those inside."""

    def __init__(self, model: Model, shown: frozenset[str]) -> None:
        self.shown = shown
        self.diagram = Diagram(model.name, shows_types="types" in shown)
        self.places: dict[int, tuple[int, int]] = {}  # of each tensor: its box and port
        self.reads: list[tuple[int, int, int, int]] = []
        self.uses = Counter(id(call.layer) for call in model.recorded)
        self.seen: Counter[int] = Counter()
        for tensor in model.inputs:
            self.add_input(tensor)
        for call in model.recorded:
            self.add_call(call)
        for name, tensor in zip(model.output_names, model.outputs, strict=True):
            self.add_output(name, tensor)
        self.diagram.links = join_links(self.reads)

    def add_input(self, tensor: KerasTensor) -> None:
        self.places[id(tensor)] = len(self.diagram.boxes), 0
        box = Box("Input", tensor.name, "input", [str(tensor.type)], facts=[("type", str(tensor.type))])
        box.identity = tensor
        self.diagram.boxes.append(box)

    def add_output(self, name: str, tensor: KerasTensor) -> None:
        self.read([tensor])
        facts = [("type", str(tensor.type))]
        self.diagram.boxes.append(Box("Output", name, "output", [], facts=facts, identity=(name, "output")))

    def add_call(self, call: Call) -> None:
        if isinstance(call.layer, InputLayer):
            return
        self.read(call.inputs)
        outputs = [x for x in flatten(call.outputs) if isinstance(x, KerasTensor)]
        for port, tensor in enumerate(outputs):
            self.places[id(tensor)] = len(self.diagram.boxes), port
        self.diagram.boxes.append(self.box(call, [str(tensor.type) for tensor in outputs]))

    def read(self, tensors: Sequence[KerasTensor]) -> None:
        for slot, tensor in enumerate(tensors):
            self.reads.append((*self.places[id(tensor)], len(self.diagram.boxes), slot))

    def box(self, call: Call, outputs: list[str]) -> Box:
        layer = call.layer
        arguments = [Line(key, value) for key, value in shown_arguments(layer).items()]
        lines = [*self.sharing(layer), *_contents(layer)]
        lines += arguments if "attributes" in self.shown else []
        weights = [] if isinstance(layer, Model) else list(map(_weight, layer.weights))
        lines += [Line(one.name, one.type, True) for one in weights] if "weights" in self.shown else []
        facts = [("layer", layer.name), ("class", type(layer).__name__), ("parameters", f"{layer.count_params():,}")]
        facts += [(f"input {slot}", str(x.type)) for slot, x in enumerate(call.inputs)]
        facts += [("output" if len(outputs) == 1 else f"output {port}", type) for port, type in enumerate(outputs)]
        facts += [(line.key, line.value) for line in arguments]
        facts += [("source", call.source)] if call.source else []
        title = layer.function_name if isinstance(layer, Operation) else type(layer).__name__
        return Box(title, layer.name, kind_of_layer(layer), outputs, lines, facts, weights, identity=call)

    def sharing(self, layer: Layer) -> list[Line]:
        """Return that a layer is called several times, and which of these calls this is."""
        self.seen[id(layer)] += 1
        count = self.uses[id(layer)]
        return [Line("shared", f"call {self.seen[id(layer)]} of {count}")] if count > 1 else []


def kind_of_layer(layer: Layer) -> str:
    """Return the group that colours a layer: the module that defines it; "custom" for a layer of the user's."""
    if isinstance(layer, Model):
        return "model"
    if isinstance(layer, Operation):
        return "elementwise"
    # By the name of the module: to look the class up would import the modules of all layers.
    package, _, group = type(layer).__module__.rpartition(".")
    return group if package in ("kir.layers", "kir.modeling") else "custom"


def _contents(layer: Layer) -> list[Line]:
    if not isinstance(layer, Model):
        return []
    return [Line("layers", f"{len(layer.layers):,}"), Line("parameters", f"{layer.count_params():,}")]


def _weight(weight: Weight) -> Weights:
    sizes = ", ".join(map(str, weight.shape))
    return Weights(weight.name, f"{weight.dtype}[{sizes}]", id(weight), lambda: weight.array)
