"""Sequential and functional models against real Keras: structure, names, weights, numbers, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, Sequential, layers
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir import interpreter
from kir.layers import Add, Concatenate, Dense, Dropout, Flatten, Lambda
from kir.modeling.lower import bind_input_shapes, lower
from kir.support import naming
from tests.oracle import assert_matches_keras, build_both, draw_feeds

# Topologies, each written once for both libraries: `library` has the layers, `Model` and `Sequential`, and `ops`.


class Kir:
    """kir under the names that the topologies use."""

    layers = layers
    Input = staticmethod(Input)
    Model = Model
    Sequential = Sequential
    ops = K


class Keras:
    """Keras under the same names."""

    layers = keras.layers
    Input = staticmethod(keras.Input)
    Model = keras.Model
    Sequential = keras.Sequential
    ops = keras.ops


def chain(library: Any) -> Any:
    x = library.Input((4,))
    return library.Model(x, library.layers.Dense(2)(library.layers.Dropout(0.1)(library.layers.Dense(3)(x))))


def branches_of_different_depth(library: Any) -> Any:
    dense = library.layers.Dense
    x = library.Input((4,))
    long = dense(3)(dense(5)(dense(6)(x)))
    short = dense(3)(x)
    return library.Model(x, dense(2)(library.layers.Add()([short, long])))


def two_inputs_and_outputs(library: Any) -> Any:
    dense = library.layers.Dense
    x, y = library.Input((4,), name="left"), library.Input((5,), name="right")
    a, b = dense(3)(x), dense(3)(y)
    joined = library.layers.Concatenate()([b, a])
    return library.Model([x, y], [dense(2, name="late")(joined), dense(1, name="early")(a)])


def shared_layers(library: Any) -> Any:
    x, y = library.Input((4,)), library.Input((4,))
    shared, head = library.layers.Dense(4), library.layers.Dense(3)
    return library.Model([x, y], library.layers.Subtract()([head(shared(x)), head(library.layers.Dense(4)(shared(y)))]))


def a_layer_twice_in_a_row(library: Any) -> Any:
    x = library.Input((4,))
    twice, once = library.layers.Dense(4), library.layers.Dense(4)
    return library.Model(x, twice(once(twice(x))))


def nested(library: Any) -> Any:
    dense = library.layers.Dense
    inside = library.Input((4,))
    inner = library.Model(inside, library.layers.Add()([dense(4)(inside), inside]), name="inner")
    tail = library.Sequential([library.Input((4,)), dense(5), dense(2)], name="tail")
    x = library.Input((4,))
    return library.Model(x, [tail(inner(x)), inner(dense(4)(x))])


def dicts(library: Any) -> Any:
    x, y = library.Input((4,), name="b"), library.Input((5,), name="a")
    dense = library.layers.Dense
    first, second = dense(3)(x), dense(3)(y)
    outputs = {"sum": library.layers.Add()([first, second]), "far": dense(2)(second)}
    return library.Model({"b": x, "a": y}, outputs)


def operators(library: Any) -> Any:
    x = library.Input((4,))
    y = library.layers.Dense(4)(x)
    z = (1.0 - y) * x + library.ops.mean(y, axis=1, keepdims=True)
    return library.Model(x, library.layers.Dense(2)(z[:, 1:] / 2.0))


def a_diamond_of_diamonds(library: Any) -> Any:
    dense = library.layers.Dense
    x = start = library.Input((4,))
    for _ in range(3):
        left, right = dense(4)(x), dense(4)(dense(4)(x))
        x = library.layers.Multiply()([right, left, x])
    return library.Model(start, dense(2)(x))


def unused_branch(library: Any) -> Any:
    x = library.Input((4,))
    library.layers.Dense(9)(x)
    return library.Model(x, library.layers.Dense(2)(x))


def inner_tensors_as_inputs(library: Any) -> Any:
    x = library.Input((4,))
    hidden = library.layers.Dense(3)(x)
    return library.Model(hidden, library.layers.Dense(2)(library.layers.Dense(5)(hidden)))


def sequential(library: Any) -> Any:
    dense = library.layers.Dense
    return library.Sequential([library.Input((4,)), dense(3), library.layers.Activation("tanh"), dense(2)])


def outputs_of_outputs(library: Any) -> Any:
    x = library.Input((4,))
    first = library.layers.Dense(3)(x)
    second = library.layers.Dense(2)(first)
    return library.Model(x, [second, first, x])


TOPOLOGIES = [
    chain,
    branches_of_different_depth,
    two_inputs_and_outputs,
    shared_layers,
    a_layer_twice_in_a_row,
    nested,
    dicts,
    operators,
    a_diamond_of_diamonds,
    unused_branch,
    inner_tensors_as_inputs,
    sequential,
    outputs_of_outputs,
]


def build_pair(topology: Any) -> tuple[Any, Any]:
    """Return the model of either library, named from scratch, with the same random weights."""
    naming.reset_names()
    # Freeing memory collects garbage, which takes a quarter of a second.
    keras.utils.clear_session(free_memory=False)
    model, reference = topology(Kir), topology(Keras)
    random = np.random.default_rng(0)
    weights = [random.normal(scale=0.5, size=one.shape).astype(np.float32) for one in reference.get_weights()]
    reference.set_weights(weights)
    model.set_weights(weights)
    return model, reference


def shapes_of(tensors: Any) -> Any:
    return keras.tree.map_structure(lambda x: tuple(x.shape), tensors)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_structure_is_that_of_keras(topology: Any) -> None:
    model, reference = build_pair(topology)
    # Keras counts operations such as x + 1 among the layers; kir lists them as operations.
    theirs = [layer.name for layer in reference.layers if isinstance(layer, keras.Layer)]
    # Keras names an Input that it puts before a given inner tensor "keras_tensor_1CLONE".
    assert [layer.name for layer in model.layers] == ["input_layer_1" if "CLONE" in name else name for name in theirs]
    assert [weight.name for weight in model.weights] == [weight.name for weight in reference.weights]
    assert [weight.shape for weight in model.weights] == [tuple(weight.shape) for weight in reference.weights]
    assert model.count_params() == reference.count_params()
    assert model.input_shape == reference.input_shape
    assert model.output_shape == reference.output_shape
    assert [x.shape for x in model.inputs] == [tuple(x.shape) for x in reference.inputs]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_numbers_are_those_of_keras(topology: Any) -> None:
    model, reference = build_pair(topology)
    feeds = draw_feeds(*[x.shape[1:] for x in model.inputs])
    given: Any = feeds[0] if len(feeds) == 1 else feeds
    if isinstance(model.input, dict):
        given = dict(zip(sorted(model.input), feeds, strict=True))
    expected = reference(given)
    predicted = model.predict(given)
    assert type(predicted) is (np.ndarray if not isinstance(expected, list | tuple | dict) else type(expected))
    keras.tree.map_structure(
        lambda ours, theirs: np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-5),
        predicted,
        expected,
    )
    # Calling the model on arrays is the same.
    keras.tree.map_structure(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6), model(given), predicted
    )


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_model_is_a_layer(topology: Any) -> None:
    model, _ = build_pair(topology)
    again = keras.tree.map_structure(lambda x: Input(x.shape[1:]), model.input)
    outer = Model(again, model(again), name="outer")
    assert outer.count_params() == model.count_params()
    feeds = draw_feeds(*[x.shape[1:] for x in model.inputs])
    inner, outside = lower(model), lower(outer)
    results = interpreter.run(inner, dict(zip(model.input_names, feeds, strict=True)))
    again_results = interpreter.run(outside, dict(zip(outer.input_names, feeds, strict=True)))
    for one, other in zip(model.output_names, outer.output_names, strict=True):
        np.testing.assert_array_equal(results[one], again_results[other])
    outside.check()


# Names


def test_automatic_names_are_counted_as_keras_counts() -> None:
    model, reference = build_pair(two_inputs_and_outputs)
    assert (model.name, reference.name) == ("functional", "functional")
    assert model.input_names == ["left", "right"]
    assert model.output_names == ["late", "early"]


def test_output_names_are_unique_and_differ_from_inputs() -> None:
    x = Input((4,), name="x")
    shared = Dense(4, name="shared")
    model = Model(x, [shared(x), shared(shared(x)), x])
    names = [*model.input_names, *model.output_names]
    assert len(set(names)) == len(names) == 4


def test_output_names_of_a_dict_are_its_keys() -> None:
    x = Input((4,), name="x")
    model = Model(x, {"wide": Dense(5, name="a")(x), "narrow": Dense(2, name="b")(x)})
    assert model.output_names == ["narrow", "wide"]
    assert [output.shape for output in model.outputs] == [(None, 2), (None, 5)]


def test_the_origin_of_a_node_is_the_path_of_its_layer() -> None:
    model, _ = build_pair(nested)
    origins = {str(node.origin) for node in lower(model).order() if node.origin is not None}
    assert any(origin.startswith("inner/") for origin in origins)
    assert any(origin.startswith("tail/") for origin in origins)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: Model(x, Dense(2, name="a")(Dense(2, name="a")(x))),
        lambda x: Sequential([Dense(2, name="a"), Dense(2, name="a")]),
    ],
)
def test_duplicate_names_are_an_error(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"unique.*'a'"):
        make(Input((4,)))


# Layers and weights


def test_get_layer() -> None:
    model, _ = build_pair(two_inputs_and_outputs)
    assert model.get_layer("late") is model.get_layer(name="late")
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[-1]
    for arguments in ({"name": "missing"}, {"index": 99}):
        with pytest.raises(InvalidArgumentError, match="late"):
            model.get_layer(**arguments)


def test_weights_that_do_not_fit_change_nothing() -> None:
    model, _ = build_pair(chain)
    before = model.get_weights()
    with pytest.raises(ShapeError, match="4 weights"):
        model.set_weights(before[:-1])
    with pytest.raises(ShapeError, match="kernel"):
        model.set_weights([np.zeros_like(before[0]), before[1], np.zeros((9, 9)), before[3]])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_predictions_follow_the_weights() -> None:
    model, _ = build_pair(chain)
    x = draw_feeds((4,))[0]
    model.predict(x)
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])
    assert not model.predict(x).any()


def test_predictions_follow_the_weights_of_one_layer() -> None:
    model, _ = build_pair(chain)
    x = draw_feeds((4,))[0]
    model.predict(x)
    last = model.layers[-1]
    last.set_weights([np.zeros_like(array) for array in last.get_weights()])
    assert not model.predict(x).any()


def test_a_shared_layer_has_its_weights_once() -> None:
    model, _ = build_pair(a_layer_twice_in_a_row)
    assert len(model.weights) == 4
    with pytest.raises(InvalidArgumentError, match="called 2 times"):
        _ = model.layers[1].output


# Sequential


def test_a_sequential_without_an_input_is_built_by_its_first_call() -> None:
    model = Sequential([Dense(3), Dense(2)])
    assert not model.built
    with pytest.raises(InvalidArgumentError, match="input shape of"):
        _ = model.output_shape
    assert model(np.ones((5, 4), np.float32)).shape == (5, 2)
    assert model.output_shape == (None, 2)
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_a_sequential_is_built_by_predict_and_by_build() -> None:
    assert Sequential([Dense(3)]).predict(np.ones((5, 4), np.float32)).shape == (5, 3)
    model = Sequential([Dense(3)])
    model.build((None, 4))
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("options", "input_shape"),
    [
        ({"input_shape": (4,)}, (None, 4)),
        ({"input_dim": 4}, (None, 4)),
        ({"input_dim": 4, "batch_size": 7}, (7, 4)),
        ({"batch_input_shape": (7, 5, 4)}, (7, 5, 4)),
        ({"input_shape": (None, 4)}, (None, None, 4)),
    ],
)
def test_the_first_layer_declares_the_input(options: dict[str, Any], input_shape: tuple[Any, ...]) -> None:
    model = Sequential([Dense(3, **options), Dense(2)])
    assert model.input_shape == input_shape
    assert model.output_shape == (*input_shape[:-1], 2)


def test_pop_takes_the_last_layer_off() -> None:
    model = Sequential([Input((4,)), Dense(3), Dense(2)])
    assert model.pop().units == 2  # type: ignore[attr-defined]
    assert model.output_shape == (None, 3)
    model.add(Dense(5))
    assert model.output_shape == (None, 5)
    empty = Sequential()
    with pytest.raises(InvalidArgumentError, match="no layers"):
        empty.pop()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential([Dense(2), "relu"]), "'relu'"),
        (lambda: Sequential([Dense(2), Input((4,))]), "must come first"),
        (lambda: Sequential([Input((4,)), Input((4,))]), "must come first"),
        (lambda: Sequential([Input((4,)), Lambda(lambda x: [x, x])]), "several tensors"),
        (lambda: Sequential([Input((4, 4)), Dense(2), Flatten(), layers.Permute((2, 1))]), "Permute"),
    ],
)
def test_what_a_sequential_refuses(make: Any, message: str) -> None:
    with pytest.raises((InvalidArgumentError, ShapeError), match=message):
        make()


def test_layers_of_a_sequential_leave_the_input_out() -> None:
    model, reference = build_pair(sequential)
    assert len(model.layers) == len(reference.layers) == 3
    assert len(model.operations) == 4


# What a model refuses


def test_an_input_that_is_missing_is_named() -> None:
    x, y = Input((4,), name="here"), Input((4,), name="missing")
    with pytest.raises(InvalidArgumentError, match="'missing'"):
        Model(x, Add()([x, y]))


@pytest.mark.parametrize("arguments", [{}, {"inputs": 1}, {"outputs": 1}])
def test_inputs_and_outputs_are_required(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="needs inputs and outputs"):
        Model(**arguments)


def test_inputs_and_outputs_must_be_symbolic() -> None:
    x = Input((4,))
    with pytest.raises(InvalidArgumentError, match=r"outputs .*symbolic"):
        Model(x, np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"inputs .*symbolic"):
        Model(Dense(2), x)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 5), np.float32), "4"),
        (np.ones((4,), np.float32), "4"),
        ([np.ones((2, 4), np.float32)] * 2, "1 inputs"),
        ({"y": np.ones((2, 4), np.float32)}, "'x'"),
        ("text", "x"),
    ],
)
def test_feeds_that_do_not_fit(given: Any, message: str) -> None:
    x = Input((4,), name="x")
    with pytest.raises(ShapeError, match=message):
        Model(x, Dense(2)(x)).predict(given)


def test_a_layer_that_fails_is_named_and_not_recorded() -> None:
    x, layer = Input((4, 4)), layers.RepeatVector(2, name="repeated")
    with pytest.raises(ShapeError, match="layer repeated"):
        layer(x)
    assert layer.calls == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: Dense(2)(), "without an input"),
        (lambda x: Dense(2)(x=x), "without an input"),
        (lambda x: Dense(2)([x, x]), "a list of 2"),
        (lambda x: Flatten()({"a": x}), "a dict of 1"),
        (lambda x: Dense(2)([[1.0, 2.0]]), "a list of 1"),
        (lambda x: Dense(2)(x, x), "too many positional arguments"),
        (lambda x: Dense(2)(x, colour=1), "colour"),
    ],
)
def test_calls_that_make_no_sense(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call(Input((4,)))


# Operators on the tensors of a functional model


def test_operators_are_recorded() -> None:
    x = Input((4,), name="x")
    feed = draw_feeds((4,))[0]
    cases: list[tuple[Any, Any]] = [
        (lambda x: x + 1, None),
        (lambda x: 2 - x, None),
        (lambda x: -x * x / 3, None),
        (lambda x: abs(x) ** 2, None),
        (lambda x: x[:, 1], None),
        (lambda x: x[..., None], None),
        (lambda x: (x > 0) & (x < 1), None),
        (lambda x: np.maximum(x, 0.5), None),
        (lambda x: K.mean(x, axis=1), lambda x: x.mean(axis=1)),
        (lambda x: K.concatenate([x, x * 2], axis=-1), lambda x: np.concatenate([x, x * 2], axis=-1)),
        (lambda x: x @ np.ones((4, 2), np.float32), None),
        (lambda x: K.where(x > 0, x, 0.0), lambda x: np.where(x > 0, x, 0)),
        (lambda x: x.sum(axis=-1, keepdims=True), None),
        (lambda x: x.reshape((-1, 2, 2)), None),
    ]
    for function, reference in cases:
        output = function(x)
        expected = (reference or function)(feed)
        assert output.shape == (None, *expected.shape[1:])
        predicted = Model(x, output).predict(feed)
        np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)


def test_recorded_functions_are_operations_and_no_layers() -> None:
    x = Input((4,))
    model = Model(x, Dense(2)(x * 2 + 1))
    assert [layer.name for layer in model.layers if isinstance(layer, Dense)] == [model.layers[-1].name]
    assert len(model.layers) == 2
    assert len(model.operations) == 4


# Masks


def test_masks_pass_into_nested_models_and_out() -> None:
    def build(library: Any, x: Any) -> Any:
        own = Kir if library is layers else Keras
        inside = own.Input((5, 3))
        inner = own.Model(inside, library.Dense(2)(inside))
        return library.LSTM(3)(inner(library.Masking()(x)))

    x = draw_feeds((5, 3))[0]
    x[0, 1] = x[1, 3:] = 0
    assert_matches_keras(*build_both(build, (5, 3)), [x])


# Sizes


def test_known_sizes_can_be_set() -> None:
    x, y = Input(("time", 4), name="x"), Input((4,), name="y")
    model = Model([x, y], Add()([x, y]))
    sizes = bind_input_shapes(model, {"x": (2, 7, 4)})
    graph = model.to_graph(sizes=sizes)
    assert [str(value.type) for node in graph.inputs for value in node.outputs] == ["f32[2, 7, 4]", "f32[2, 4]"]
    for shapes in ({"z": (1,)}, {"x": (1, 4)}, {"x": (1, 1, 5)}, {"x": (2, 7, 4), "y": (3, 4)}):
        with pytest.raises(ShapeError):
            bind_input_shapes(model, shapes)


def test_the_training_input_is_there_only_if_something_reads_it() -> None:
    x = Input((4,), name="x")
    with_dropout, without = Model(x, Dropout(0.5)(x)), Model(x, Dense(2)(x))
    assert len(lower(with_dropout, training=True).inputs) == 2
    assert len(lower(without, training=True).inputs) == 1


def test_losses_can_be_an_output() -> None:
    x = Input((4,), name="x")
    model = Model(x, Dense(2, kernel_regularizer="l2", activity_regularizer="l1", name="y")(x))
    feed = draw_feeds((4,))[0]
    results = interpreter.run(model.to_graph(losses=True), {"x": feed})
    assert set(results) == {"y", "regularization_loss"}
    np.testing.assert_allclose(results["regularization_loss"], sum(model.losses(feed)), rtol=1e-5)


# Size of models


@pytest.mark.slow
def test_a_deep_model_builds_and_runs() -> None:
    x = y = Input((2,), name="x")
    for _ in range(2_000):
        y = Dense(2, activation="tanh")(y)
    model = Model(x, y)
    assert len(model.layers) == 2_001
    graph = lower(model)
    assert interpreter.run(graph, {"x": np.ones((1, 2), np.float32)})[model.output_names[0]].shape == (1, 2)


def test_a_wide_model_builds() -> None:
    x = Input((2,))
    model = Model(x, Concatenate()([Dense(1)(x) for _ in range(2_000)]))
    assert model.output_shape == (None, 2_000)


def test_a_list_of_one_output_gives_that_output_as_in_keras() -> None:
    x = Input((4,))
    model = Model([x], [Dense(3)(x)])
    ones = np.ones((2, 4), np.float32)
    assert model.predict(ones).shape == (2, 3)
    np.testing.assert_array_equal(model(ones), model.predict([ones]))
    assert isinstance(model(Input((4,))), list)


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (lambda: Dense(2, name="d")(None), "Dense 'd' was called with None, which holds no tensor"),
        (lambda: Add(name="a")([]), r"Add 'a' was called with \[\], which holds no tensor"),
        (lambda: Model(Input((3,)), []), "needs at least one output"),
        (lambda: Sequential(3), "layers must be a list of layers; received 3"),  # type: ignore[arg-type]
        (lambda: Sequential([Dense(2)]).get_layer(), "needs the name or the index"),
    ],
)
def test_misuse_is_explained(mistake: Callable[[], Any], expected: str) -> None:
    with pytest.raises(InvalidArgumentError, match=expected):
        mistake()


def _frozen(library: Any, x: Any) -> Any:
    still = library.Dense(3, kernel_regularizer="l2", activity_regularizer="l1", trainable=False)
    return library.Dense(2, kernel_regularizer="l2", bias_regularizer="l1")(still(library.Flatten()(x)))


def _frozen_model(library: Any, x: Any) -> Any:
    inside = (keras.Sequential if library is keras.layers else Sequential)([library.Dense(3, kernel_regularizer="l2")])
    inside.trainable = False
    return library.Dense(2, kernel_regularizer="l1")(inside(x))


def _bidirectional(library: Any, x: Any) -> Any:
    options = {"recurrent_regularizer": "l1", "activity_regularizer": "l1"}
    return library.Bidirectional(library.LSTM(3, return_sequences=True, **options))(x)


def _time_distributed(library: Any, x: Any) -> Any:
    return library.TimeDistributed(library.Dense(3, kernel_regularizer="l2", activity_regularizer="l1"))(x)


def _shared(library: Any, x: Any) -> Any:
    layer = library.Dense(4, kernel_regularizer="l2", activity_regularizer="l2")
    return layer(layer(x))


@pytest.mark.parametrize("build", [_frozen, _frozen_model, _bidirectional, _time_distributed, _shared])
def test_losses_and_what_is_trained_are_those_of_keras(build: Callable[..., Any]) -> None:
    model, reference = build_both(build, (5, 4))
    (x,) = draw_feeds((5, 4))
    reference(x)
    # Keras lists the activities of sublayers in an order of its own.
    np.testing.assert_allclose(sorted(model.losses(x)), sorted(map(float, reference.losses)), rtol=1e-5)
    assert [w.shape for w in model.trainable_weights] == [tuple(w.shape) for w in reference.trainable_weights]
    assert [w.shape for w in model.non_trainable_weights] == [tuple(w.shape) for w in reference.non_trainable_weights]


def test_complex_numbers_are_refused() -> None:
    x = Input((2,), name="x")
    with pytest.raises(ShapeError, match="input 'x' must be an array of f32"):
        Model(x, Dense(2)(x)).predict(np.ones((1, 2), np.complex64))


def test_a_list_that_grows_after_the_call_changes_nothing() -> None:
    """What DenseNet does: features.append(x) after Concatenate()(features)."""
    x = Input(shape=(2,))
    features = [x, Dense(3)(x)]
    joined = Concatenate()(features)
    features.append(joined)
    assert Model(x, joined).predict(np.ones((1, 2), np.float32)).shape == (1, 5)


def test_a_layer_may_be_in_a_chain_twice(tmp_path: Path) -> None:
    again = Dense(4, activation="tanh", name="again")
    model = Sequential([Input((4,)), again, Dense(4, name="between"), again])
    assert [layer.name for layer in model.layers] == ["again", "between", "again"]
    assert model.count_params() == 40
    model.export(tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    expected = again(model.get_layer("between")(again(x)))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    assert model.pop() is again
    with pytest.raises(InvalidArgumentError, match="has a layer named 'again' already"):
        model.add(Dense(4, name="again"))
    model.pop()
    model.pop()
    model.add(Dense(4, name="again"))
