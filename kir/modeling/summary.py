"""The table of layers that Keras prints: layer, output shape, parameters, and what it is connected to."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kir.ir.op import Array
from kir.modeling.attribute_paths import is_placing, paths_inside, places_in
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.layer import Layer, own_arguments
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.parameters import constructor_parameters
from kir.modeling.registry import Configurable
from kir.modeling.training import random_weights
from kir.support.naming import snake_case
from kir.support.text import ShownAsText, format_bytes
from kir.support.trees import flatten, map_structure

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Row:
    """One layer. `arguments` are its constructor's that are not at their defaults, as text."""

    path: str
    layer: str
    output_shape: str
    parameters: int
    connected_to: tuple[str, ...]
    arguments: dict[str, str]


@dataclass(frozen=True, repr=False)
class Summary(ShownAsText):
    """A model's layers (nested ones after their model, with longer paths) and totals; sizes in bytes."""

    name: str
    rows: tuple[Row, ...]
    parameters: int
    trainable_parameters: int
    parameter_bytes: int
    random_weights: str = ""

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**asdict(self), "random_weights": self.random_weights or None}

    def print(self, console: Console | None = None) -> None:
        """Print the table with rich, to standard output unless a console is given."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        console = console or Console()
        table = Table(title=escape(f'Model: "{self.name}"'), title_justify="left")
        for heading in ("Layer (type)", "Output shape", "Param #", "Connected to", "Arguments"):
            table.add_column(heading, justify="right" if heading == "Param #" else "left", overflow="fold")
        for row in self.rows:
            table.add_row(
                escape(f"{row.path} ({row.layer})"),
                escape(row.output_shape),
                f"{row.parameters:,}",
                escape(", ".join(row.connected_to) or "-"),
                escape(", ".join(f"{key}={value}" for key, value in row.arguments.items())),
            )
        console.print(table)
        console.print(f"Total params: {self.parameters:,} ({format_bytes(self.parameter_bytes)})")
        console.print(f"Trainable params: {self.trainable_parameters:,}")
        console.print(f"Non-trainable params: {self.parameters - self.trainable_parameters:,}")
        if self.random_weights:
            console.print(f"Weights: {self.random_weights}")

    def __repr__(self) -> str:
        return f"<Summary of {self.name!r}: {len(self.rows)} layers, {self.parameters:,} parameters>"

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120)
        self.print(console)
        return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def summarize(model: Model) -> Summary:
    """Return what `print_summary` prints, as data."""
    rows: list[Row] = []
    placed: dict[int, tuple[str, ...]] = {}
    pending: list[tuple[Layer, tuple[str, ...], dict[int, list[Call]]]] = [
        (layer, (layer.name,), _calls_by_layer(model)) for layer in reversed(model.operations)
    ]
    while pending:
        layer, path, calls = pending.pop()
        rows.append(_row(layer, "/".join(path), calls.get(id(layer)) or layer.calls[:1]))
        if id(layer) not in placed:
            placed = paths_inside(layer, path, places_in) if is_placing(layer) else {}
        inner_calls = _calls_by_layer(layer) if isinstance(layer, Model) else {}
        pending.extend((one, here, inner_calls) for here, one in reversed(_inside(layer, path, placed)))
    weights = model.weights
    return Summary(
        model.name,
        tuple(rows),
        model.count_params(),
        sum(weight.size for weight in model.trainable_weights),
        sum(weight.size * weight.dtype.itemsize for weight in weights),
        random_weights(model, model.loaded_from.kind),
    )


def print_summary(model: Model, console: Console | None = None) -> None:
    """Print the table with rich, to standard output unless a console is given."""
    summarize(model).print(console)


def _inside(
    layer: Layer, path: tuple[str, ...], placed: Mapping[int, tuple[str, ...]]
) -> list[tuple[tuple[str, ...], Layer]]:
    """Return the layers inside a layer with their paths; one that has two places is at the first alone."""
    if id(layer) not in placed:
        inner = layer.operations if isinstance(layer, Model) else layer.sublayers()
        return [((*path, one.name), one) for one in inner]
    found = [((*path, place), one) for place, one in places_in(layer)]
    return [(here, one) for here, one in found if placed[id(one)] == here]


def _row(layer: Layer, path: str, calls: list[Call]) -> Row:
    return Row(
        path,
        type(layer).__name__,
        ", ".join(dict.fromkeys(_shape_text(call.outputs) for call in calls)) or "?",
        layer.count_params(),
        tuple(x.name for call in calls for x in call.inputs),
        shown_arguments(layer),
    )


def _calls_by_layer(owner: Model) -> dict[int, list[Call]]:
    """Return the calls that a model makes of each of its layers."""
    calls: dict[int, list[Call]] = {}
    for call in owner.recorded:
        calls.setdefault(id(call.layer), []).append(call)
    return calls


def _shape_text(outputs: object) -> str:
    leaves = flatten(map_structure(lambda x: str(x.shape) if isinstance(x, KerasTensor) else "?", outputs))
    return leaves[0] if len(leaves) == 1 else f"[{', '.join(leaves)}]"


def shown_arguments(layer: Layer) -> dict[str, str]:
    """Return the constructor arguments that are not at their defaults, as text; a model's are its layers.

    A recorded function shows the arguments that were bound to it.
    """
    if isinstance(layer, Model):
        return {}
    if isinstance(layer, Operation):
        return {name: repr(value) for name, value in getattr(layer.function, "keywords", {}).items()}
    defaults = constructor_parameters(type(layer))
    config = layer.get_config()
    values = {name: vars(layer).get(name, config[name]) for name in own_arguments(type(layer)) if name in config}
    if "activity_regularizer" in config:
        values["activity_regularizer"] = layer.activity_regularizer
    return {
        name: _argument_text(value)
        for name, value in values.items()
        if not (name in defaults and _is_default(value, defaults[name].default))
    }


def _is_default(value: object, default: object) -> bool:
    """Return whether an argument has its default value, which for an object is a name, such as "glorot_uniform"."""
    if isinstance(value, Configurable):
        is_plain = _argument_text(value) == f"{type(value).__name__}()"
        return is_plain and isinstance(default, str) and snake_case(type(value).__name__) == snake_case(default)
    if inspect.isfunction(value):
        return value.__name__ == (default or "linear")
    return bool(value == default) or (default is None and value is False)


def _argument_text(value: object) -> str:
    """Return an argument as one would write it; an object with its own arguments that are not at their defaults."""
    if isinstance(value, Configurable):
        defaults = constructor_parameters(type(value))
        config = value.get_config()
        shown = [f"{key}={v!r}" for key, v in config.items() if key not in defaults or v != defaults[key].default]
        return f"{type(value).__name__}({', '.join(shown)})"
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, Layer):
        return f"{type(value).__name__} {value.name}"
    if isinstance(value, dict) and "class_name" in value:
        config = value["config"]
        return config if isinstance(config, str) else f"{value['class_name']} {config['name']}"
    return repr(value)


def describe_array(array: Array) -> dict[str, Any]:
    """Return an array's dtype, shape, range and mean, as plain values."""
    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size and array.dtype != object:
        numbers = array.astype(np.float64)
        facts |= {"min": float(numbers.min()), "max": float(numbers.max()), "mean": float(numbers.mean())}
    return facts
