"""The table of layers that Keras prints: layer, output shape, parameters, and what it is connected to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kir.keras_tensor import Call, KerasTensor
from kir.layers.base import Layer
from kir.model import Model
from kir.op import Array
from kir.structure import flatten, map_structure

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Row:
    """One layer. `arguments` are its constructor's, without those that are None."""

    path: str
    layer: str
    output_shape: str
    parameters: int
    connected_to: tuple[str, ...]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """A model's layers (nested ones behind their model, with longer paths) and totals; sizes in bytes."""

    name: str
    rows: tuple[Row, ...]
    parameters: int
    trainable_parameters: int
    parameter_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summarize(model: Model) -> Summary:
    """What `print_summary` prints, as data."""
    rows: list[Row] = []
    pending = [(layer, "", _calls_by_layer(model)) for layer in reversed(model.operations)]
    while pending:
        layer, prefix, calls = pending.pop()
        rows.append(_row(layer, prefix, calls.get(id(layer)) or layer.calls[:1]))
        if isinstance(layer, Model) and layer.built:
            inner_calls = _calls_by_layer(layer)
            pending.extend((inner, f"{prefix}{layer.name}/", inner_calls) for inner in reversed(layer.operations))
    weights = model.weights
    return Summary(
        model.name,
        tuple(rows),
        model.count_params(),
        sum(weight.size for weight in model.trainable_weights),
        sum(weight.size * weight.dtype.itemsize for weight in weights),
    )


def print_summary(model: Model, console: Console | None = None) -> None:
    """Prints the table with rich, to standard output unless a console is given."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = console or Console()
    summary = summarize(model)
    table = Table(title=f'Model: "{summary.name}"', title_justify="left")
    for heading in ("Layer (type)", "Output shape", "Param #", "Connected to", "Arguments"):
        table.add_column(heading, justify="right" if heading == "Param #" else "left", overflow="fold")
    for row in summary.rows:
        table.add_row(
            escape(f"{row.path} ({row.layer})"),
            row.output_shape,
            f"{row.parameters:,}",
            escape(", ".join(row.connected_to) or "-"),
            escape(", ".join(f"{key}={value!r}" for key, value in row.arguments.items())),
        )
    console.print(table)
    console.print(f"Total params: {summary.parameters:,} ({format_bytes(summary.parameter_bytes)})")
    console.print(f"Trainable params: {summary.trainable_parameters:,}")
    console.print(f"Non-trainable params: {summary.parameters - summary.trainable_parameters:,}")


def format_bytes(count: int) -> str:
    """A size with the unit that keeps it short: "1.50 KB"; 1024 bytes to the KB, as Keras counts."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


def _row(layer: Layer, prefix: str, calls: list[Call]) -> Row:
    return Row(
        f"{prefix}{layer.name}",
        type(layer).__name__,
        ", ".join(dict.fromkeys(_shape_text(call.outputs) for call in calls)) or "?",
        layer.count_params(),
        tuple(x.name for call in calls for x in call.inputs),
        {key: value for key, value in layer.get_config().items() if _is_shown(key, value)},
    )


def _calls_by_layer(owner: Model) -> dict[int, list[Call]]:
    """The calls that a model makes of each of its layers."""
    calls: dict[int, list[Call]] = {}
    for call in owner.recorded:
        calls.setdefault(id(call.layer), []).append(call)
    return calls


def _shape_text(outputs: Any) -> str:
    leaves = flatten(map_structure(lambda x: str(x.shape) if isinstance(x, KerasTensor) else "?", outputs))
    return leaves[0] if len(leaves) == 1 else f"[{', '.join(leaves)}]"


def _is_shown(key: str, value: Any) -> bool:
    """Arguments that say something: no None, and none of the keys that every layer has."""
    return key not in ("name", "trainable", "dtype") and value is not None and not isinstance(value, dict)


def describe_array(array: Array) -> dict[str, Any]:
    """An array's dtype, shape, range and mean, as plain values."""
    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size and array.dtype != object:
        numbers = array.astype(np.float64)
        facts |= {"min": float(numbers.min()), "max": float(numbers.max()), "mean": float(numbers.mean())}
    return facts
