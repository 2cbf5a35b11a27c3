"""Leaving the end of a model off: the model whose outputs are those of given layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kir.errors import InvalidArgumentError
from kir.modeling.call_order import calls_between
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.model import Model
from kir.support.trees import flatten


def cut_model(model: Model, names: Sequence[str]) -> Model:
    """Return the part of a model that computes the outputs of the layers of these names, with its weights.

    Inputs that then feed nothing go. A layer inside another is named as `kir.importers.inner_outputs` says; then all
    inputs stay.

    Raises:
        InvalidArgumentError: a layer of a name is not there, or was called more than once.
    """
    if not set(names) <= {call.layer.name for call in _calls_of(model)}:
        from kir.importers.inner_outputs import cut_inside  # start-up time

        return _described_as(cut_inside(model, names), model)
    outputs = [output for name in names for output in flatten(_outputs_of(model, name))]
    given = model.input_structure
    needed = _inputs_of(outputs)
    if isinstance(given, Mapping):
        inputs: Any = {key: x for key, x in given.items() if id(x) in needed}
    else:
        inputs = [x for x in flatten(given) if id(x) in needed]
    cut = Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)
    return _described_as(cut, model)


def _described_as(cut: Model, model: Model) -> Model:
    cut.metadata.update(model.metadata)
    cut.loaded_from = model.loaded_from
    return cut


def _calls_of(model: Model) -> list[Call]:
    return calls_between(model.inputs, flatten(model.output_structure))


def _outputs_of(model: Model, name: str) -> Any:
    found = [call.outputs for call in _calls_of(model) if call.layer.name == name]
    if len(found) == 1:
        return found[0]
    raise InvalidArgumentError(
        f"layer {name!r} is called {len(found)} times in {model.name!r}, so it has no single output to cut at; "
        f"name a layer that is called once"
    )


def _inputs_of(outputs: Sequence[KerasTensor]) -> set[int]:
    """Return the ids of the inputs that outputs depend on. O(calls)."""
    found: set[int] = set()
    seen: set[int] = set()
    pending = list(outputs)
    while pending:
        x = pending.pop()
        if isinstance(x.call.layer, InputLayer):
            found.add(id(x))
        elif id(x.call) not in seen:
            seen.add(id(x.call))
            pending.extend(x.call.inputs)
    return found
