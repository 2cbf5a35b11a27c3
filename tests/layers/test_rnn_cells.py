"""RNN and its cells, unrolled layers and stateful ones, against real Keras."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, activations, layers, passes
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_model
from kir.ir import interpreter
from kir.layers import GRU, LSTM, RNN, GRUCell, Input, Layer, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells
from kir.layers.cell import RECURRENT_ACTIVATIONS
from kir.modeling.lower import lower
from kir.support.trees import flatten
from tests.layers.test_rnn import BATCH, FEATURES, KINDS, LOOPS, MASKS, STATES, TIME, UNITS, make_x
from tests.oracle import assert_matches_keras, assert_same_config, build_both, node_types

each_kind = pytest.mark.parametrize("kind", KINDS)
each_switch = pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=2)), ids=str)

# Stacks by the kinds and sizes of their cells, and the number of tensors that their states are.
STACKS: dict[str, tuple[list[tuple[str, int]], int]] = {
    "LSTM, LSTM": ([("LSTM", UNITS), ("LSTM", 2)], 4),
    "GRU, SimpleRNN, LSTM": ([("GRU", 4), ("SimpleRNN", UNITS), ("LSTM", 2)], 4),
}
UNROLLED = {"activation": "gelu"}


def check_rnn(
    make: Any,
    mask: str | None = None,
    time: Any = TIME,
    states: Any = (),
    nested: Any = None,
    atol: float = 2e-6,
    **options: Any,
) -> list[str]:
    """`make(library)`, a recurrent layer, against Keras; `states` are the sizes of initial states. The file's nodes."""
    specs: list[Any] = [(time, FEATURES), *[(size,) for size in states]]
    random = np.random.default_rng(3)
    feeds = [make_x(), *[random.normal(size=(BATCH, size)).astype(np.float32) for size in states]]
    if mask is not None:
        specs.append(((time,), "bool"))
        feeds.append(np.array(MASKS[mask], bool))

    def build(library: Any, x: Any, *more: Any) -> Any:
        given: dict[str, Any] = {} if mask is None else {"mask": more[-1]}
        if states:
            given["initial_state"] = (nested or list)(list(more[: len(states)]))
        return flatten(make(library)(x, **given))

    proto = assert_matches_keras(*build_both(build, *specs), feeds, atol=atol)
    types = node_types(proto)
    assert not LOOPS & set(types)
    return types


def cell_of(library: Any, kind: str, units: int = UNITS, **options: Any) -> Any:
    return getattr(library, f"{kind}Cell")(units, **options)


def stack_of(library: Any, stack: str, **options: Any) -> Any:
    return [cell_of(library, kind, units, **options) for kind, units in STACKS[stack][0]]


# One cell


@each_kind
@pytest.mark.parametrize("mask", [None, "holes", "nothing valid in some rows"])
@each_switch
def test_rnn_of_a_cell_is_one_operator(kind: str, mask: str | None, switches: tuple[bool, bool]) -> None:
    sequences, backwards = switches
    options = {"return_sequences": sequences, "go_backwards": backwards, "return_state": True}
    types = check_rnn(lambda library: library.RNN(cell_of(library, kind), **options), mask, "time")
    assert types.count(kind.removeprefix("Simple")) == 1


@each_kind
def test_rnn_takes_the_arguments_of_the_layers(kind: str) -> None:
    options = {"zero_output_for_mask": True, "return_sequences": True}
    states = [UNITS] * STATES[kind]
    check_rnn(lambda library: library.RNN(cell_of(library, kind), **options), "front", states=states)
    check_rnn(lambda library: library.RNN(cell_of(library, kind), unroll=True, **options), "front", states=states)
    check_rnn(lambda library: library.RNN(cell_of(library, kind, use_bias=False)))


@each_kind
def test_a_cell_alone(kind: str) -> None:
    count = STATES[kind]
    options: Any
    for options in ({}, {"use_bias": False}, {"activation": "softmax", "recurrent_activation": "softmax"}):
        if kind == "SimpleRNN":
            options = {name: value for name, value in options.items() if name != "recurrent_activation"}

        def build(library: Any, x: Any, *states: Any, options: Any = options) -> Any:
            output, new = cell_of(library, kind, **options)(x, list(states))
            return [output, *new]

        feeds = [make_x()[:, 0], *[make_x(seed)[:, 0, :UNITS] for seed in range(count)]]
        assert_matches_keras(*build_both(build, (FEATURES,), *[(UNITS,)] * count), feeds)


def test_a_cell_of_one_state_takes_it_bare() -> None:
    def build(library: Any, x: Any, h: Any) -> Any:
        output, new = library.SimpleRNNCell(UNITS)(x, h)
        return [output, new]

    assert_matches_keras(*build_both(build, (FEATURES,), (UNITS,)), [make_x()[:, 0], make_x()[:, 1, :UNITS]])


def test_gru_cell_without_reset_after() -> None:
    for options in ({"reset_after": False}, {"reset_after": False, "use_bias": False}, {"use_bias": False}):
        for more in ({}, UNROLLED):
            check_rnn(lambda library, all=options | more: library.RNN(library.GRUCell(UNITS, **all)))


# Stacks


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("mask", [None, "holes", "nothing valid in some rows"])
@each_switch
def test_stacks_are_one_operator_for_each_cell(stack: str, mask: str | None, switches: tuple[bool, bool]) -> None:
    sequences, backwards = switches
    options = {"return_sequences": sequences, "go_backwards": backwards, "return_state": True}
    types = check_rnn(lambda library: library.RNN(stack_of(library, stack), **options), mask, "time")
    for kind, _ in STACKS[stack][0]:
        assert kind.removeprefix("Simple") in types
    assert types.count("TopK") == (0 if mask is None else 1)


@pytest.mark.parametrize("mask", [None, "holes"])
@pytest.mark.parametrize("more", [{}, UNROLLED], ids=["operators", "unrolled"])
def test_states_of_stacks(mask: str | None, more: dict[str, Any]) -> None:
    for sequences, unroll in itertools.product([False, True], repeat=2):
        options = {"return_sequences": sequences, "unroll": unroll, "return_state": True}
        check_rnn(
            lambda library, options=options: library.RNN(stack_of(library, "LSTM, LSTM", **more), **options),
            mask,
            states=[UNITS, UNITS, 2, 2],
            nested=lambda states: [states[:2], states[2:]],
        )


def test_the_states_of_a_stack_have_its_structure() -> None:
    output, first, second = RNN([LSTMCell(UNITS), GRUCell(2)], return_state=True)(Input((None, FEATURES)))
    assert output.shape == second.shape == (None, 2)
    assert [state.shape for state in first] == [(None, UNITS)] * 2


def test_stacks_in_stacks() -> None:
    def make(library: Any) -> Any:
        inner = library.StackedRNNCells([library.GRUCell(2), library.GRUCell(UNITS)])
        return library.RNN(library.StackedRNNCells([library.GRUCell(4), inner]))

    assert check_rnn(make).count("GRU") == 3


def test_a_stack_alone() -> None:
    def build(library: Any, x: Any, *states: Any) -> Any:
        stack = library.StackedRNNCells([library.LSTMCell(UNITS), library.LSTMCell(2)])
        return flatten(list(stack(x, [list(states[:2]), list(states[2:])])))

    sizes = [UNITS, UNITS, 2, 2]
    feeds = [make_x()[:, 0], *[make_x(seed)[:, 0, :size] for seed, size in enumerate(sizes)]]
    assert_matches_keras(*build_both(build, (FEATURES,), *[(size,) for size in sizes]), feeds)


def test_a_shared_cell_has_its_weights_once() -> None:
    cell = LSTMCell(UNITS)
    first, second = Input((4, FEATURES)), Input((6, FEATURES))
    model = Model([first, second], [RNN(cell)(first), RNN(cell)(second)])
    assert len(model.weights) == 3


def test_dropout_of_each_cell_in_training() -> None:
    model = Model(x := Input((None, FEATURES)), RNN([GRUCell(4, dropout=0.5), GRUCell(2, dropout=0.5)])(x))
    names = [node.op.name for node in lower(model, training=True).order()]
    assert (names.count("Dropout"), names.count("GRU")) == (2, 2)


# Unrolled


@each_kind
@pytest.mark.parametrize("mask", [None, "holes", "front", "nothing valid in some rows"])
@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=3)), ids=str)
def test_unrolled_like_operators(kind: str, mask: str | None, switches: tuple[bool, bool, bool]) -> None:
    sequences, backwards, unroll = switches
    options = {"return_sequences": sequences, "go_backwards": backwards, "unroll": unroll, "return_state": True}
    types = check_rnn(
        lambda library: getattr(library, kind)(UNITS, activation="gelu", zero_output_for_mask=True, **options),
        mask,
        states=[UNITS] * STATES[kind],
    )
    assert kind.removeprefix("Simple") not in types


@each_kind
def test_masked_outputs_of_unrolled_cells_are_repeated(kind: str) -> None:
    for mask, unroll in itertools.product(["holes", "front"], [False, True]):
        check_rnn(
            lambda library, unroll=unroll: getattr(library, kind)(
                UNITS, activation="gelu", return_sequences=True, unroll=unroll
            ),
            mask,
            states=[UNITS] * STATES[kind],
        )


# glu halves its axis, so that no gate can have it; threshold needs arguments.
OTHERS = sorted(
    name
    for name, function in activations.ACTIVATIONS.items()
    if function not in RECURRENT_ACTIVATIONS and name not in ("glu", "threshold", "exponential", "squareplus")
)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_activation(name: str) -> None:
    check_rnn(lambda library: library.LSTM(UNITS, activation=name, recurrent_activation="sigmoid"))
    check_rnn(lambda library: library.GRU(UNITS, recurrent_activation=name, return_sequences=True))


@pytest.mark.parametrize("name", ["exponential", "squareplus"])
def test_activations_that_grow(name: str) -> None:
    check_rnn(lambda library: library.SimpleRNN(2, activation=name, kernel_initializer="zeros"), atol=1e-4)


def test_few_nodes_for_a_step() -> None:
    def count(kind: str, time: int) -> int:
        return len(check_rnn_nodes(kind, time))

    for kind, expected in (("SimpleRNN", 3), ("GRU", 11), ("LSTM", 11)):
        assert count(kind, 9) - count(kind, 8) == expected


def check_rnn_nodes(kind: str, time: int) -> list[str]:
    graph = lower(Model(x := Input((time, FEATURES)), getattr(layers, kind)(UNITS, activation="gelu")(x)))
    passes.run(graph, passes.pipeline(2))
    return node_types(to_model_proto(graph))


def test_one_step() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.GRU(UNITS, activation="gelu", return_sequences=True)(x)

    assert_matches_keras(*build_both(build, (1, FEATURES)), [make_x()[:, :1]])


@each_kind
def test_double_precision(kind: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return getattr(library, kind)(UNITS, activation="silu", dtype="float64")(x)

    model, reference = build_both(build, ((TIME, FEATURES), "float64"))
    x = make_x().astype(np.float64)
    predicted = model.predict(x)
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, np.asarray(reference(x)), rtol=1e-5, atol=1e-6)


# Cells of the user's own


class KirMean(Layer):
    """The running mean of the inputs; its output is no state."""

    state_size = (FEATURES, 1)
    output_size = FEATURES

    def call(self, inputs: Any, states: Any) -> Any:
        total, count = states
        total, count = total + inputs, count + 1.0
        return K.tanh(total / count), [total, count]


class KerasMean(keras.layers.Layer):
    """The same in Keras."""

    state_size = (FEATURES, 1)
    output_size = FEATURES

    def call(self, inputs: Any, states: Any) -> Any:
        total, count = states
        total, count = total + inputs, count + 1.0
        return keras.ops.tanh(total / count), [total, count]


@pytest.mark.parametrize("mask", [None, "holes"])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_cell_of_ones_own(mask: str | None, unroll: bool) -> None:
    def make(library: Any) -> Any:
        cell = KirMean() if library is layers else KerasMean()
        return library.RNN(cell, return_sequences=not (mask and not unroll), return_state=True, unroll=unroll)

    check_rnn(make, mask)


def test_a_cell_of_ones_own_in_a_stack() -> None:
    def make(library: Any) -> Any:
        cell = KirMean() if library is layers else KerasMean()
        return library.RNN([library.GRUCell(FEATURES), cell, library.LSTMCell(2)], return_sequences=True)

    check_rnn(make)


# Stateful


def carry(kind: str, **options: Any) -> tuple[Model, Any]:
    def build(library: Any) -> Any:
        x = library.Input(batch_shape=(BATCH, TIME, FEATURES), name="steps")
        recurrent = getattr(library, kind)(UNITS, stateful=True, name="memory", **options)
        model = Model if library is layers else keras.Model
        return model(x, recurrent(x))

    model, reference = build(layers), build(keras.layers)
    random = np.random.default_rng(0)
    weights = [random.normal(scale=0.5, size=weight.shape) for weight in reference.get_weights()]
    reference.set_weights(weights)
    model.set_weights(weights[: len(model.weights)])
    return model, reference


@each_kind
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "go_backwards": True}, UNROLLED], ids=str)
def test_predict_keeps_the_states(kind: str, options: dict[str, Any]) -> None:
    model, reference = carry(kind, **options)
    xs = [make_x(seed) for seed in range(3)]
    expected = [np.asarray(reference(x)) for x in xs]
    for x, wanted in zip(xs, expected, strict=True):
        np.testing.assert_allclose(model.predict(x), wanted, rtol=1e-5, atol=2e-6)
    model.layers[-1].reset_states()
    np.testing.assert_allclose(model.predict(xs[0]), expected[0], rtol=1e-5, atol=2e-6)


@each_kind
def test_the_caller_of_a_file_carries_the_states(kind: str, tmp_path: Any) -> None:
    model, reference = carry(kind)
    export_model(model, tmp_path / "model.onnx", ExportOptions())
    session = make_session(tmp_path / "model.onnx")
    states: dict[str, Any] = {}
    for seed in range(3):
        results = run_session(session, {"steps": make_x(seed), **states})
        expected = np.asarray(reference(make_x(seed)))
        np.testing.assert_allclose(results["memory"], expected, rtol=1e-5, atol=2e-6)
        states = {f"memory.state_{i}": results[f"memory.new_state_{i}"] for i in range(STATES[kind])}


def test_a_stateful_layer_called_on_arrays() -> None:
    model, reference = carry("LSTM")
    layer, theirs = model.layers[-1], reference.layers[-1]
    for seed in range(2):
        np.testing.assert_allclose(layer(make_x(seed)), np.asarray(theirs(make_x(seed))), rtol=1e-5, atol=2e-6)


def test_a_stateful_layer_called_twice_goes_on() -> None:
    x = Input(batch_shape=(BATCH, TIME, FEATURES))
    layer = GRU(UNITS, stateful=True)
    model = Model(x, [layer(x), layer(x)])
    first, second = model.predict(make_x())
    third, _ = model.predict(make_x())
    assert not np.allclose(first, second)
    layer.reset_states()
    longer = Model(z := Input(batch_shape=(BATCH, 3 * TIME, FEATURES)), layer(z))
    np.testing.assert_allclose(longer.predict(np.concatenate([make_x()] * 3, axis=1)), third, rtol=1e-5, atol=1e-6)


def test_a_stateful_layer_with_an_initial_state_keeps_its_last() -> None:
    x, h = Input(batch_shape=(BATCH, TIME, FEATURES)), Input(batch_shape=(BATCH, UNITS))
    model = Model([x, h], SimpleRNN(UNITS, stateful=True, name="memory")(x, initial_state=h))
    graph = lower(model)
    assert [node.op.label for node in graph.inputs] == model.input_names  # type: ignore[attr-defined]
    assert [node.op.label for node in graph.outputs][1:] == ["memory.new_state_0"]  # type: ignore[attr-defined]


def test_stateful_stacks() -> None:
    def build(library: Any) -> Any:
        x = library.Input(batch_shape=(BATCH, TIME, FEATURES))
        cells = [library.LSTMCell(UNITS), library.GRUCell(2)]
        y = library.Bidirectional(library.RNN(cells, stateful=True, return_sequences=True))(x)
        return (Model if library is layers else keras.Model)(x, y)

    model, reference = build(layers), build(keras.layers)
    model.set_weights([np.asarray(weight) for weight in reference.get_weights()])
    for seed in range(2):
        np.testing.assert_allclose(
            model.predict(make_x(seed)), np.asarray(reference(make_x(seed))), rtol=1e-5, atol=2e-6
        )
    assert any(state.any() for state in flatten([layer.states for layer in model.layers[-1].sublayers()]))
    model.reset_states()
    assert all(layer.states is None for layer in model.layers[-1].sublayers())


# Training


@pytest.mark.slow
@each_kind
def test_recurrent_dropout_in_training(kind: str) -> None:
    """In expectation the product with the state is what it is without dropout, and no two gates drop the same."""
    layer = getattr(layers, kind)(400, recurrent_dropout=0.5, activation="linear", seed=1)
    x = Input(batch_shape=(1, 2, FEATURES))
    model = Model(x, layer(x))
    feeds = {model.input_names[0]: np.ones((1, 2, FEATURES), np.float32)}
    (dropped,) = interpreter.run(lower(model, training=True), feeds).values()
    (plain,) = interpreter.run(lower(model), feeds).values()
    assert not np.allclose(dropped, plain)
    np.testing.assert_allclose(dropped.mean(), plain.mean(), atol=0.2 * np.abs(plain).mean() + 0.02)


def test_the_state_is_dropped_alike_at_every_step() -> None:
    options: dict[str, Any] = {"activation": "linear", "recurrent_dropout": 0.5, "return_sequences": True, "seed": 3}
    model = Model(x := Input((4, FEATURES)), SimpleRNN(FEATURES, **options)(x))
    model.set_weights([np.eye(FEATURES), np.eye(FEATURES), np.zeros(FEATURES)])
    feeds = {model.input_names[0]: np.ones((BATCH, 4, FEATURES), np.float32)}
    (output,) = interpreter.run(lower(model, training=True), feeds).values()
    # Where the state is kept it is doubled: 1, 1 + 2, 1 + 2·3, …; where it is dropped nothing is carried.
    for row in output.transpose(0, 2, 1).reshape(-1, 4).tolist():
        assert row in ([1, 3, 7, 15], [1, 1, 1, 1])
    assert len(np.unique(output[:, -1])) == 2


def test_recurrent_dropout_survives_export(tmp_path: Any) -> None:
    model = Model(x := Input((4, FEATURES), name="steps"), LSTM(UNITS, recurrent_dropout=0.5, name="memory")(x))
    export_model(model, tmp_path / "model.onnx", ExportOptions(training=True))
    session = make_session(tmp_path / "model.onnx")
    feeds = {"steps": np.ones((2, 4, FEATURES), np.float32)}
    first, second = (run_session(session, feeds)["memory"] for _ in range(2))
    assert not np.array_equal(first, second)


# Configuration


SAME_NAMES = ["SimpleRNN", "LSTM", "GRU", "RNN", "SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"]


@pytest.mark.parametrize("name", SAME_NAMES)
def test_arguments_by_position(name: str) -> None:
    theirs = list(inspect.signature(getattr(keras.layers, name)).parameters)[:-1]
    assert list(inspect.signature(getattr(layers, name)).parameters)[: len(theirs)] == theirs


@each_kind
def test_cell_configs(kind: str) -> None:
    given: Any
    for given in ({}, {"dropout": 0.25, "seed": 4, "bias_regularizer": "l2", "kernel_constraint": "non_neg"}):
        ours, theirs = (cell_of(library, kind, name="given", **given) for library in (layers, keras.layers))
        assert_same_config(ours, theirs)
        options: dict[str, Any] = {"name": "outer", "unroll": True}
        assert_same_config(RNN(ours, **options), keras.layers.RNN(theirs, **options))
        stacks = StackedRNNCells([ours], name="stack"), keras.layers.StackedRNNCells([theirs], name="stack")
        assert_same_config(*stacks)


def test_attributes_of_the_cell() -> None:
    ours, theirs = (library.LSTM(UNITS, dropout=0.5, activation="relu") for library in (layers, keras.layers))
    for name in ("units", "dropout", "unit_forget_bias", "state_size", "use_bias"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.activation is ours.cell.activation


def test_initial_states_of_cells() -> None:
    assert [state.shape for state in LSTMCell(UNITS).get_initial_state(batch_size=2)] == [(2, UNITS)] * 2
    shapes = [[state.shape for state in states] for states in StackedRNNCells([GRUCell(2)]).get_initial_state(3)]
    assert shapes == [[(3, 2)]]


# An unknown number of steps


@pytest.mark.parametrize("mask", [None, "holes"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_a_cell_of_ones_own_over_an_unknown_number_of_steps(mask: str | None, backwards: bool, sequences: bool) -> None:
    def build(library: Any, x: Any, mask: Any = None) -> Any:
        cell = KirMean() if library is layers else KerasMean()
        options = {"return_sequences": sequences, "return_state": True, "go_backwards": backwards}
        return library.RNN(cell, **options)(x, mask=mask)

    specs: list[Any] = [("time", FEATURES)] + ([(("time",), "bool")] if mask else [])
    feeds = [make_x()] + ([np.array(MASKS[mask], bool)] if mask else [])
    proto = assert_matches_keras(*build_both(build, *specs), feeds)
    assert node_types(proto).count("Scan") == 1


def test_a_stack_with_a_first_state_over_an_unknown_number_of_steps() -> None:
    def build(library: Any, x: Any, *states: Any) -> Any:
        cell = KirMean() if library is layers else KerasMean()
        cells = [cell, library.LSTMCell(2, activation="gelu")]
        given = [list(states[:2]), list(states[2:])]
        return library.RNN(cells, return_sequences=True, zero_output_for_mask=True)(x, initial_state=given)

    random = np.random.default_rng(3)
    sizes = [FEATURES, 1, 2, 2]
    feeds = [make_x(), *[random.normal(size=(BATCH, size)).astype(np.float32) for size in sizes]]
    assert_matches_keras(*build_both(build, ("time", FEATURES), *[(size,) for size in sizes]), feeds)


def test_a_state_that_changes_its_type() -> None:
    class Growing(Layer):
        state_size = (FEATURES, FEATURES)

        def call(self, inputs: Any, states: Any) -> Any:
            first, second = states
            return inputs, [K.concatenate([first, inputs], 1), second]

    with pytest.raises(UnsupportedError, match=r"another type after it.*--input-shapes"):
        lower(Model(x := Input((None, FEATURES)), RNN(Growing())(x)))


@each_kind
@pytest.mark.parametrize("sequences", [False, True])
def test_the_length_may_be_fixed_when_the_model_is_lowered(kind: str, sequences: bool) -> None:
    options = {"activation": "gelu", "return_sequences": sequences, "go_backwards": True}
    layer = getattr(layers, kind)(UNITS, return_state=True, **options)
    x, mask = Input(("time", FEATURES)), Input(("time",), dtype="bool")
    output, *states = layer(x, mask=mask)
    assert output.shape == ((None, None, UNITS) if sequences else (None, UNITS))
    assert [state.shape for state in states] == [(None, UNITS)] * STATES[kind]
    model = Model([x, mask], output)
    feeds = dict(zip(model.input_names, [make_x(), np.array(MASKS["holes"], bool)], strict=True))
    fixed = Model([y := Input((TIME, FEATURES)), given := Input((TIME,), dtype="bool")], layer(y, mask=given)[0])
    expected = fixed.predict(list(feeds.values()))
    (result,) = interpreter.run(lower(model, sizes={"time": TIME}), feeds).values()
    np.testing.assert_array_equal(result, expected)
    (result,) = interpreter.run(lower(model), feeds).values()
    np.testing.assert_allclose(result, expected, atol=1e-6)


# Errors


@pytest.mark.parametrize("cell", [layers.Dense(3), "LSTMCell", []])
def test_no_cell(cell: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cell"):
        RNN(cell)


def test_a_cell_with_too_few_states() -> None:
    with pytest.raises(InvalidArgumentError, match="has 2 states; received 1"):
        LSTMCell(UNITS)(Input((FEATURES,)), [Input((UNITS,))])
    with pytest.raises(InvalidArgumentError, match="has 2 cells; received the states of 1"):
        StackedRNNCells([SimpleRNNCell(2), SimpleRNNCell(2)])(Input((FEATURES,)), [Input((2,))])


def test_no_steps() -> None:
    with pytest.raises(ShapeError, match="one step or more; received 0"):
        LSTM(UNITS, activation="gelu")(Input((0, FEATURES)))


def test_rank_of_a_step() -> None:
    with pytest.raises(ShapeError, match=r"input of rank 2, \(batch, features\)"):
        LSTMCell(UNITS)(Input((TIME, FEATURES)), [Input((UNITS,)), Input((UNITS,))])
