"""The table of layers: paths, shapes, counts, connections, and the arguments that say something."""

from __future__ import annotations

import functools
import io
import json

import keras
import pytest
from rich.console import Console

import kir
from kir import Input, Model, Sequential, layers
from kir import backend as K
from kir.modeling.operation import Operation
from kir.modeling.summary import print_summary, summarize
from kir.support.naming import reset_names
from kir.support.text import format_bytes


@pytest.fixture
def model() -> Model:
    reset_names()
    inner = Sequential(
        [Input((4,)), layers.Dense(3, "relu", kernel_regularizer=kir.regularizers.L2(0.5))], name="inner"
    )
    x = Input((4,), name="x")
    both = layers.Add(name="both")([inner(x), layers.Dense(3, use_bias=False)(x)])
    return Model(x, both, name="outer")


def test_rows_have_paths_shapes_and_connections(model: Model) -> None:
    rows = {row.path: row for row in summarize(model).rows}
    assert list(rows) == ["x", "inner", "inner/input_layer", "inner/dense", "dense_1", "both"]
    assert rows["both"].connected_to == ("inner", "dense_1")
    assert rows["inner"].output_shape == "(None, 3)"
    assert rows["inner/dense"].parameters == 15


def test_arguments_are_shown_unless_they_are_the_defaults(model: Model) -> None:
    rows = {row.path: row for row in summarize(model).rows}
    assert rows["inner/dense"].arguments == {"units": "3", "activation": "relu", "kernel_regularizer": "L2(l2=0.5)"}
    assert rows["dense_1"].arguments == {"units": "3", "use_bias": "False"}
    assert rows["inner"].arguments == {}


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (lambda: layers.LSTM(2), {"units": "2"}),
        (lambda: layers.LSTM(2, recurrent_initializer="zeros", go_backwards=True), {"go_backwards": "True"}),
        (lambda: layers.Masking(1.5), {"mask_value": "1.5"}),
        (lambda: layers.Dropout(0.5, noise_shape=(None, 1, 3)), {"noise_shape": "(None, 1, 3)"}),
    ],
)
def test_arguments_of_other_layers(layer: object, arguments: dict[str, str]) -> None:
    model = Sequential([Input((None, 3)), layer()])  # type: ignore[operator]
    assert arguments.items() <= summarize(model).rows[-1].arguments.items()


def test_totals_agree_with_keras(model: Model) -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = keras.Input((4,))
    theirs = keras.Model(x, keras.layers.Add()([inner(x), keras.layers.Dense(3, use_bias=False)(x)]))
    summary = summarize(model)
    assert summary.parameters == theirs.count_params() == 27
    assert summary.parameter_bytes == 4 * 27


def test_the_table_prints_markup_in_names_as_text() -> None:
    model = Sequential([Input((2,)), layers.Dense(1, name="[red]layer")])
    file = io.StringIO()
    print_summary(model, Console(file=file, width=120))
    assert "[red]layer (Dense)" in file.getvalue()
    assert "Total params: 3 (12 B)" in file.getvalue()


def test_the_summary_is_json(model: Model) -> None:
    assert json.loads(json.dumps(summarize(model).to_json()))["rows"][0]["layer"] == "InputLayer"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KB"), (2**40, "1.00 TB")])
def test_sizes_have_the_unit_that_keeps_them_short(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_a_recorded_function_shows_the_arguments_bound_to_it() -> None:
    x = Input((3,), name="x")
    operation = Operation(functools.partial(K.mean, axis=-1, keepdims=True), name="average")
    row = summarize(Model(x, operation(x))).rows[-1]
    assert row.path == "average"
    assert row.arguments == {"axis": "-1", "keepdims": "True"}
