"""What Keras 2 recorded between layers: how files say it, and what kir refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.errors import FormatError, KirError, UnsupportedError
from kir.importers.keras_file import model_from_config
from kir.importers.keras_file.calls import parse_calls
from kir.importers.keras_file.document import Reference
from kir.importers.keras_file.operations import Recorded
from kir.layers import Dense


def functional(*recorded: dict[str, Any], shape: tuple[int | None, ...] = (None, 4), output: str | None = None) -> Any:
    """Return the config of a model of an Input "x" and recorded calls, as Keras 2 writes it."""
    given = {"batch_input_shape": list(shape), "dtype": "float32", "name": "x"}
    first = {"class_name": "InputLayer", "name": "x", "config": given, "inbound_nodes": []}
    config = {
        "name": "model",
        "layers": [first, *recorded],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[output or recorded[-1]["name"], 0, 0]],
    }
    return {"class_name": "Functional", "config": config, "keras_version": "2.11.0"}


def call(path: str, *nodes: Any, name: str = "f", class_name: str = "TFOpLambda") -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", "function": path}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": list(nodes)}


def run(config: Any, x: Any) -> Any:
    return np.asarray(model_from_config(config).predict(np.asarray(x, np.float32)))


X = np.arange(8, dtype=np.float32).reshape(2, 4) - 3


def test_constants_stand_in_the_place_of_tensors() -> None:
    node = ["_CONSTANT_VALUE", -1, [1.0, 2.0, 3.0, 4.0], {"y": ["x", 0, 0], "name": None}]
    assert np.array_equal(run(functional(call("math.subtract", node)), X), np.array([1, 2, 3, 4]) - X)


def test_lists_hold_tensors_and_constants() -> None:
    node = [["x", 0, 0, {"axis": 0}], ["_CONSTANT_VALUE", -1, [[9.0, 9.0, 9.0, 9.0]], {"axis": 0}], []]
    assert np.array_equal(run(functional(call("concat", node)), X), np.concatenate([X, np.full((1, 4), 9)]))


def test_slices_hold_tensors() -> None:
    shape = call("compat.v1.shape", ["x", 0, 0, {"out_type": "int32"}], name="shape")
    size = call("__operators__.getitem", ["shape", 0, 0, {"slice_spec": 1}], name="size", class_name="SlicingOpLambda")
    half = call("math.floordiv", ["size", 0, 0, {"y": 2}], name="half")
    bounds = {"start": ["half", 0, 0], "stop": None, "step": None}
    node = ["x", 0, 0, {"slice_spec": [{"class_name": "__ellipsis__"}, bounds]}]
    cut = call("__operators__.getitem", node, name="cut", class_name="SlicingOpLambda")
    assert np.array_equal(run(functional(shape, size, half, cut, shape=(None, None)), X), X[:, 2:])


def test_a_word_in_front_of_numbers_is_a_reference_only_if_a_layer_has_that_name() -> None:
    node = ["x", 0, 0, {"first": ["x", 0, 0], "other": ["y", 0, 0], "inside": {"a": [["x", 0, 1]]}}]
    ((args, kwargs),) = parse_calls([node], Recorded(len), {"x": Dense(1)})
    assert args == (Reference("x", 0, 0),)
    assert kwargs == {"first": Reference("x", 0, 0), "other": ["y", 0, 0], "inside": {"a": [Reference("x", 0, 1)]}}


def test_several_calls_of_one_function() -> None:
    calls = call("nn.relu", ["x", 0, 0, {}], ["f", 0, 0, {}])
    total = call("math.add", ["f", 0, 0, {"y": ["f", 1, 0]}], name="total")
    assert np.array_equal(run(functional(calls, total), X), 2 * np.maximum(X, 0))


def test_whole_rows_are_ragged_tensors_for_nothing() -> None:
    config = {"name": "r", "cls_symbol": "RaggedTensor", "method_name": "from_tensor"}
    ragged = {
        "class_name": "ClassMethod",
        "name": "r",
        "config": config,
        "inbound_nodes": [[["x", 0, 0, {"kwargs": {}}]]],
    }
    dense = {
        "class_name": "InstanceMethod",
        "name": "d",
        "config": {"name": "d", "attr_name": "to_tensor"},
        "inbound_nodes": [["r", 0, 0, {"args": [], "kwargs": {}}]],
    }
    assert np.array_equal(run(functional(ragged, dense), X), X)


@pytest.mark.parametrize("attribute", ["flat_values", "row_splits", "indices"])
def test_parts_of_ragged_tensors_are_refused(attribute: str) -> None:
    config = {"name": "p", "attr_name": attribute}
    part = {"class_name": "InstanceProperty", "name": "p", "config": config, "inbound_nodes": [["x", 0, 0, {}]]}
    with pytest.raises(UnsupportedError, match=f"{attribute} of a ragged or sparse tensor"):
        model_from_config(functional(part))


def test_all_that_is_missing_is_listed_at_once() -> None:
    first = call("linalg.svd", ["x", 0, 0, {}], name="first")
    second = call("strings.lower", ["first", 0, 0, {}], name="second")
    with pytest.raises(UnsupportedError) as raised:
        model_from_config(functional(first, second))
    assert "first: tf.linalg.svd" in str(raised.value)
    assert "second: tf.strings.lower" in str(raised.value)


@pytest.mark.parametrize(
    "path", ["config.set_visible_devices", "random.set_seed", "function", "keras.backend.clear_session"]
)
def test_what_is_no_function_of_tensors_is_not_called(path: str) -> None:
    with pytest.raises(UnsupportedError, match="tf"):
        model_from_config(functional(call(path, ["x", 0, 0, {}])))


def test_functions_of_keras_are_recorded_by_their_path() -> None:
    assert run(functional(call("keras.backend.batch_flatten", ["x", 0, 0, {}])), X).shape == (2, 4)


def test_arguments_that_kir_lacks_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="with sideways=1 is not supported"):
        model_from_config(
            functional(call("image.resize", ["x", 0, 0, {"size": [2, 2], "sideways": 1}]), shape=(None, 4, 4, 1))
        )


def test_masks_by_numbers_are_unsupported() -> None:
    mask = call("math.greater", ["x", 0, 0, {"y": 0}], name="mask")
    cut = call("__operators__.getitem", ["x", 0, 0, {"slice_spec": ["mask", 0, 0]}], class_name="SlicingOpLambda")
    with pytest.raises(UnsupportedError, match="boolean index"):
        model_from_config(functional(mask, cut))


@pytest.mark.parametrize("node", [None, 3, {"a": 1}, [["x", 0]], ["x", "a", 0, {}]])
def test_calls_that_are_none_are_refused(node: Any) -> None:
    with pytest.raises(FormatError):
        model_from_config(functional(call("nn.relu", node)))


HUGE = 10**13


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("zeros", [["_CONSTANT_VALUE", -1, HUGE, {}], ["shape", 0, 0, {}]]),
        ("tile", ["_CONSTANT_VALUE", -1, [1.0], {"multiples": [["shape", 0, 0]], "other": HUGE}]),
        ("one_hot", ["shape", 0, 0, {"depth": HUGE}]),
        ("repeat", ["shape", 0, 0, {"repeats": HUGE, "axis": 0}]),
        ("unstack", ["x", 0, 0, {"num": HUGE}]),
        ("split", ["x", 0, 0, {"num_or_size_splits": HUGE}]),
        ("image.resize", ["x", 0, 0, {"size": [HUGE, HUGE], "method": "nearest"}]),
        ("image.resize", ["x", 0, 0, {"size": [HUGE, HUGE], "method": "area"}]),
    ],
)
def test_numbers_out_of_all_proportion_are_refused(path: str, node: Any) -> None:
    shape = call("size", ["x", 0, 0, {}], name="shape")
    with pytest.raises(KirError):
        model_from_config(functional(shape, call(path, node), shape=(2, 4, 4, 1)))


def sampling(output: str) -> Any:
    """Return the config of a model that draws, as the encoder of a variational autoencoder does."""
    shape = call("compat.v1.shape", ["x", 0, 0, {"out_type": "int32"}], name="shape")
    noise = call("random.normal", ["shape", 0, 0, {}], name="noise")
    mean = call("nn.relu", ["x", 0, 0, {}], name="mean")
    total = call("math.add", ["mean", 0, 0, {"y": ["noise", 0, 0]}], name="total")
    return functional(shape, noise, mean, total, output=output)


def test_what_draws_may_be_there_where_no_output_depends_on_it() -> None:
    assert np.array_equal(run(sampling("mean"), X), np.maximum(X, 0))
    with pytest.raises(UnsupportedError, match="draws other numbers"):
        model_from_config(sampling("total")).to_graph()


def test_losses_and_metrics_are_the_tensors_themselves() -> None:
    given = {"class_name": "AddLoss", "name": "loss", "config": {"name": "loss", "unconditional": False}}
    loss = call("keras.metrics.hinge", ["x", 0, 0, {"y_pred": ["x", 0, 0]}], name="hinge")
    added = given | {"inbound_nodes": [["hinge", 0, 0, {}]]}
    assert np.array_equal(
        run(functional(loss, added, call("nn.relu", ["x", 0, 0, {}]), output="f"), X), np.maximum(X, 0)
    )


LOSSES = {
    "keras.backend.binary_crossentropy": lambda y, x: -(y * np.log(x + 1e-7) + (1 - y) * np.log(1 - x + 1e-7)),
    "keras.backend.categorical_crossentropy": lambda y, x: -(y * np.log(x / x.sum(-1, keepdims=True))).sum(-1),
    "keras.metrics.hinge": lambda y, x: np.maximum(1 - y * x, 0).mean(-1),
    "keras.losses.squared_hinge": lambda y, x: (np.maximum(1 - y * x, 0) ** 2).mean(-1),
}


@pytest.mark.parametrize("path", LOSSES)
def test_losses_of_keras_2(path: str) -> None:
    x = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.2]], np.float32)
    names = ("y_true", "y_pred") if "backend" not in path else ("target", "output")
    target = np.array([[0.0, 1.0, 0.5, 0.25], [1.0, 0.0, 0.75, 0.0]], np.float32)
    node = ["_CONSTANT_VALUE", -1, target.tolist(), {names[1]: ["x", 0, 0]}]
    np.testing.assert_allclose(run(functional(call(path, node)), x), LOSSES[path](target, x), 1e-4)


def test_the_sparse_crossentropy_of_keras_2() -> None:
    x = np.array([[0.1, 0.2, 0.3, 0.4], [0.6, 0.1, 0.1, 0.2]], np.float32)
    node = ["_CONSTANT_VALUE", -1, [2, 0], {"output": ["x", 0, 0]}]
    got = run(functional(call("keras.backend.sparse_categorical_crossentropy", node)), x)
    np.testing.assert_allclose(got, -np.log([0.3, 0.6]), 1e-4)
