"""Bidirectional and TimeDistributed against real Keras; stacks of masked layers, and how few nodes they become."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, Sequential, layers
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.layers import GRU, LSTM, Bidirectional, Dense, Input, SimpleRNN, TimeDistributed, Wrapper
from kir.modeling.lower import lower
from tests.layers.test_rnn import BATCH, FEATURES, KINDS, LOOPS, MASKS, STATES, TIME, UNITS, make_x
from tests.oracle import assert_matches_keras, assert_same_config, build_both, node_types

MERGE_MODES = ("concat", "sum", "mul", "ave", None)

each_kind = pytest.mark.parametrize("kind", KINDS)
each_mode = pytest.mark.parametrize("mode", MERGE_MODES)


def check(build: Callable[..., Any], mask: str | None = None, time: Any = "time", states: int = 0) -> list[str]:
    """`build(library, x, mask, states)` against Keras; the nodes of the file."""
    specs: list[Any] = [(time, FEATURES), *[(UNITS,)] * states]
    random = np.random.default_rng(3)
    feeds = [make_x(), *[random.normal(size=(BATCH, UNITS)).astype(np.float32) for _ in range(states)]]
    if mask is not None:
        specs.append(((time,), "bool"))
        feeds.append(np.array(MASKS[mask], bool))

    def build_layer(library: Any, x: Any, *more: Any) -> Any:
        return build(library, x, more[states] if mask is not None else None, list(more[:states]))

    types = node_types(assert_matches_keras(*build_both(build_layer, *specs), feeds))
    assert not LOOPS & set(types)
    return types


def bidirectional(kind: str, mode: Any = "concat", backward: Any = None, **options: Any) -> Callable[..., Any]:
    """Return a program that calls one Bidirectional; `backward` are the options of a backward layer of its own."""

    def build(library: Any, x: Any, mask: Any, states: list[Any]) -> Any:
        cls = getattr(library, kind)
        second = None if backward is None else cls(**{"units": UNITS, "go_backwards": True} | options | backward)
        layer = library.Bidirectional(cls(UNITS, **options), merge_mode=mode, backward_layer=second)
        return layer(x, **({} if mask is None else {"mask": mask}), **({"initial_state": states} if states else {}))

    return build


@each_kind
@each_mode
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mask", [None, "holes", "front", "nothing valid in some rows"])
def test_bidirectional(kind: str, mode: Any, sequences: bool, mask: str | None) -> None:
    types = check(bidirectional(kind, mode, return_sequences=sequences), mask)
    assert types.count(kind.removeprefix("Simple")) == 1


@each_kind
@each_mode
@pytest.mark.parametrize("options", list(itertools.product([False, True], repeat=2)), ids=str)
def test_bidirectional_states(kind: str, mode: Any, options: tuple[bool, bool]) -> None:
    sequences, given = options
    states = 2 * STATES[kind] if given else 0
    check(bidirectional(kind, mode, return_sequences=sequences, return_state=True), "holes", states=states)
    check(bidirectional(kind, mode, return_sequences=sequences, return_state=True), states=states)


def test_bidirectional_with_states_ignores_a_mask_that_comes_with_the_input() -> None:
    def build(library: Any, x: Any, *states: Any) -> Any:
        first, second = (library.GRU(UNITS, return_sequences=sequences) for sequences in (True, False))
        x = library.Bidirectional(first)(library.Masking()(x), initial_state=list(states))
        return library.Bidirectional(second)(x)

    feeds = [masked_x(), *[make_x()[:, 0, :UNITS]] * 2]
    assert_matches_keras(*build_both(build, ("time", FEATURES), (UNITS,), (UNITS,)), feeds)


@each_kind
@pytest.mark.parametrize("mask", [None, "holes"])
def test_bidirectional_layers_of_other_activations_are_one_operator(kind: str, mask: str | None) -> None:
    types = check(bidirectional(kind, backward={"activation": "relu", "use_bias": False}, return_sequences=True), mask)
    assert types.count(kind.removeprefix("Simple")) == 1


@each_kind
@each_mode
@pytest.mark.parametrize("mask", [None, "holes", "front"])
def test_bidirectional_that_begins_backwards(kind: str, mode: Any, mask: str | None) -> None:
    for sequences in (False, True):
        options = {"go_backwards": True, "return_sequences": sequences, "return_state": True}
        check(bidirectional(kind, mode, {"go_backwards": False}, **options), mask, states=2 * STATES[kind])


@pytest.mark.parametrize("mask", [None, "holes"])
def test_bidirectional_of_different_sizes(mask: str | None) -> None:
    for sequences in (False, True):
        check(bidirectional("GRU", "concat", {"units": UNITS + 1}, return_sequences=sequences), mask)
        check(bidirectional("GRU", "sum", {"reset_after": False}, return_sequences=sequences), mask)


@each_kind
@pytest.mark.parametrize("mask", ["holes", "front", "nothing valid in some rows"])
def test_bidirectional_unrolled(kind: str, mask: str) -> None:
    check(bidirectional(kind, return_sequences=True, unroll=True), mask, TIME)
    check(bidirectional(kind, unroll=True), mask, TIME)


def test_bidirectional_of_two_kinds() -> None:
    def build(library: Any, x: Any, mask: Any, states: Any) -> Any:
        layer = library.Bidirectional(library.LSTM(UNITS), backward_layer=library.GRU(UNITS, go_backwards=True))
        return layer(x)

    assert {"LSTM", "GRU"} <= set(check(build))


def test_bidirectional_weights() -> None:
    arrays = [np.full(shape, 0.5) for shape in [(FEATURES, UNITS), (UNITS, UNITS), (UNITS,)] * 2]
    model = Model(x := Input((None, FEATURES)), Bidirectional(SimpleRNN(UNITS), weights=arrays)(x))
    assert all((weight == 0.5).all() for weight in model.get_weights())


def test_bidirectional_dropout_in_training_is_drawn_for_each_direction() -> None:
    model = Model(x := Input((None, FEATURES)), Bidirectional(LSTM(UNITS, dropout=0.5))(x))
    for training, operators in ((False, 1), (True, 2)):
        names = [node.op.name for node in lower(model, training=training).order()]
        assert names.count("LSTM") == operators
        assert names.count("Dropout") == (2 if training else 0)


@each_kind
def test_bidirectional_config(kind: str) -> None:
    for mode in MERGE_MODES:
        ours = Bidirectional(getattr(layers, kind)(UNITS, name="inner"), merge_mode=mode, name="outer")
        inner = getattr(keras.layers, kind)(UNITS, name="inner")
        assert_same_config(ours, keras.layers.Bidirectional(inner, merge_mode=mode, name="outer"))


def test_bidirectional_layers_that_do_not_go_together() -> None:
    for backward, message in (
        (LSTM(UNITS), "different directions; received go_backwards=False"),
        (LSTM(UNITS, go_backwards=True, return_state=True), "same return_state; received False and True"),
        (Dense(3), "backward_layer must be a recurrent layer"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            Bidirectional(LSTM(UNITS), backward_layer=backward)
    with pytest.raises(InvalidArgumentError, match="merge_mode='max'"):
        Bidirectional(LSTM(UNITS), merge_mode="max")
    with pytest.raises(InvalidArgumentError, match="layer must be a recurrent layer"):
        Bidirectional(Dense(3))


def test_bidirectional_that_is_stateful_needs_a_known_batch() -> None:
    with pytest.raises(ShapeError, match="stateful=True"):
        Bidirectional(GRU(UNITS, stateful=True))(Input((None, FEATURES)))


# TimeDistributed

INNER: dict[str, Callable[[Any], Any]] = {
    "dense": lambda library: library.Dense(3, activation="relu"),
    "softmax": lambda library: library.Dense(3, activation="softmax"),
    "activation": lambda library: library.Activation("tanh"),
    "dropout": lambda library: library.Dropout(0.5),
    "nested": lambda library: library.TimeDistributed(library.Dense(2)),
    "lstm": lambda library: library.LSTM(3),
    "sequences": lambda library: library.Bidirectional(library.GRU(3, return_sequences=True)),
    "flatten": lambda library: library.Flatten(),
    "repeat": lambda library: library.Reshape((4, 2, 1)),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("time", [None, TIME])
def test_time_distributed(inner: str, time: int | None) -> None:
    def build(library: Any, x: Any) -> Any:
        return library.TimeDistributed(INNER[inner](library))(x)

    x = np.random.default_rng(0).normal(size=(BATCH, TIME, 2, 4)).astype(np.float32)
    # Keras's NumPy backend needs the number of steps.
    model, reference = build_both(build, (TIME, 2, 4))
    ours = Model(given := Input((time, 2, 4)), build(layers, given))
    ours.set_weights(model.get_weights())
    assert_matches_keras(ours, reference, [x])


def test_time_distributed_model() -> None:
    def build(library: Any, x: Any) -> Any:
        sequential = Sequential if library is layers else keras.Sequential
        inner = sequential([library.Input((2, 4)), library.LSTM(3, return_sequences=True), library.Flatten()])
        return library.TimeDistributed(inner)(x)

    x = np.random.default_rng(0).normal(size=(BATCH, TIME, 2, 4)).astype(np.float32)
    assert_matches_keras(*build_both(build, (TIME, 2, 4)), [x])


def test_time_distributed_passes_its_mask_on() -> None:
    def build(library: Any, x: Any, mask: Any, states: Any) -> Any:
        x = library.Masking()(x)
        x = library.TimeDistributed(library.Dense(3))(x)
        x = library.TimeDistributed(library.Activation("relu"))(x)
        return library.LSTM(UNITS)(x)

    check(build, time=TIME)


def test_time_distributed_dense_is_not_folded() -> None:
    model = Model(x := Input((None, FEATURES)), TimeDistributed(Dense(3))(x))
    assert "Reshape" not in [node.op.name for node in lower(model).order()]


def test_time_distributed_with_a_mask_for_the_inner_steps() -> None:
    inner_mask = np.random.default_rng(0).random((BATCH, TIME, 3)) < 0.5

    def build(library: Any, x: Any, mask: Any) -> Any:
        return library.TimeDistributed(library.LSTM(UNITS))(x, mask=mask)

    x = np.random.default_rng(1).normal(size=(BATCH, TIME, 3, 4)).astype(np.float32)
    assert_matches_keras(*build_both(build, (TIME, 3, 4), ((TIME, 3), "bool")), [x, inner_mask])


def test_time_distributed_config() -> None:
    theirs = keras.layers.TimeDistributed(keras.layers.LSTM(3, name="inner"), name="outer")
    assert_same_config(TimeDistributed(LSTM(3, name="inner"), name="outer"), theirs)


def test_time_distributed_errors() -> None:
    with pytest.raises(InvalidArgumentError, match="received layer=3"):
        TimeDistributed(3)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"rank 3 or more, \(batch, time, …\); received \(batch, 4\)"):
        TimeDistributed(LSTM(3))(Input((4,)))
    with pytest.raises(ShapeError, match="must begin with the input's sizes"):
        TimeDistributed(LSTM(3))(Input((TIME, 3, 4)), mask=Input((TIME + 1, 3), dtype="bool"))
    with pytest.raises(InvalidArgumentError, match="no class 'Missing'"):
        TimeDistributed.from_config({"layer": {"class_name": "Missing", "config": {}}})


# Stacks of masked layers


def masked_x() -> Any:
    """Steps that Masking masks: holes, nothing valid in a row, the end."""
    return make_x() * np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 0, 0]], np.float32)[:, :, None]


def check_stack(*makers: Callable[[Any], Any], time: Any = None) -> list[str]:
    """Masking and the layers in a Sequential against Keras; the nodes of the file."""

    def build(library: Any, x: Any) -> Any:
        x = library.Masking()(x)
        for make in makers:
            x = make(library)(x)
        return x

    types = node_types(assert_matches_keras(*build_both(build, (time, FEATURES)), [masked_x()]))
    assert not LOOPS & set(types)
    return types


def lstm(**options: Any) -> Callable[[Any], Any]:
    return lambda library: library.LSTM(UNITS, **options)


def dense(**options: Any) -> Callable[[Any], Any]:
    return lambda library: library.Dense(4, **options)


SEQUENCES = {"return_sequences": True}


def test_masked_two_layer_lstm_is_small() -> None:
    assert len(check_stack(lstm(**SEQUENCES), lstm(), dense(), time=TIME)) == 13
    # One more node reads the number of steps.
    assert len(check_stack(lstm(**SEQUENCES), lstm(), dense())) == 14


def test_masked_layers_with_others_between_gather_once() -> None:
    dropout, relu = (lambda library: library.Dropout(0.5)), (lambda library: library.Activation("relu"))
    types = check_stack(dense(), lstm(**SEQUENCES), dropout, relu, dense(activation="tanh"), lstm(), dense())
    assert types.count("GatherND") == 1
    assert "Where" not in types


def test_masked_bidirectional_stack_gathers_once() -> None:
    both = [lambda library: library.Bidirectional(library.GRU(UNITS, return_sequences=True))] * 2
    types = check_stack(*both, lambda library: library.Bidirectional(library.LSTM(UNITS), merge_mode="ave"))
    assert types.count("GatherND") == 1


def test_masked_sequences_are_spread_once() -> None:
    types = check_stack(lstm(**SEQUENCES), lstm(**SEQUENCES), lstm(**SEQUENCES), dense())
    assert types.count("GatherND") == 2


def test_masked_layers_that_turn_around_in_between() -> None:
    check_stack(lstm(**SEQUENCES), lstm(go_backwards=True, **SEQUENCES), lstm(), dense())
    check_stack(lstm(go_backwards=True, **SEQUENCES), lstm(go_backwards=True), dense())


def test_layers_without_masks_share_one_layout() -> None:
    def build(library: Any, x: Any, mask: Any, states: Any) -> Any:
        return library.LSTM(UNITS)(library.LSTM(UNITS, return_sequences=True)(x))

    assert check(build) == ["Transpose", "LSTM", "Reshape", "LSTM", "Reshape"]


@pytest.mark.parametrize("time", ["time", TIME])
def test_time_distributed_convolutions_and_cells(time: Any) -> None:
    def build(library: Any, x: Any) -> Any:
        x = library.TimeDistributed(library.Conv2D(3, 2, activation="relu"))(x)
        x = library.TimeDistributed(library.Reshape((4, 3)))(x)
        return library.TimeDistributed(library.RNN([library.GRUCell(2), library.LSTMCell(3)]))(x)

    x = np.random.default_rng(0).normal(size=(BATCH, TIME, 3, 3, 2)).astype(np.float32)
    assert_matches_keras(*build_both(build, (time, 3, 3, 2)), [x])


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_time_distributed_stateful_layers_go_on_from_step_to_step(kind: str) -> None:
    def build(library: Any) -> Any:
        x = library.Input(batch_shape=(BATCH, 3, TIME, FEATURES))
        inner = getattr(library, kind)(UNITS, stateful=True, return_sequences=True)
        y = library.TimeDistributed(inner)(x)
        return (Model if library is layers else keras.Model)(x, y)

    model, reference = build(layers), build(keras.layers)
    model.set_weights([np.asarray(weight) for weight in reference.get_weights()[: len(model.weights)]])
    for seed in range(2):
        x = np.random.default_rng(seed).normal(size=(BATCH, 3, TIME, FEATURES)).astype(np.float32)
        np.testing.assert_allclose(model.predict(x), np.asarray(reference(x)), rtol=1e-5, atol=2e-6)


def test_time_distributed_stateful_layers_need_a_known_length() -> None:
    x = Input(batch_shape=(BATCH, None, TIME, FEATURES))
    model = Model(x, TimeDistributed(GRU(UNITS, stateful=True))(x))
    with pytest.raises(UnsupportedError, match=r"is stateful.*--input-shapes"):
        lower(model)


@each_mode
@pytest.mark.parametrize("mask", [None, "holes"])
def test_bidirectional_rnn_of_cells(mode: Any, mask: str | None) -> None:
    def build(library: Any, x: Any, given: Any, states: list[Any]) -> Any:
        cells = [library.LSTMCell(UNITS), library.GRUCell(UNITS)]
        layer = library.Bidirectional(library.RNN(cells, return_sequences=True), merge_mode=mode)
        one = library.Bidirectional(library.RNN(library.GRUCell(UNITS), return_state=True), merge_mode=mode)
        more = {} if given is None else {"mask": given}
        outputs = layer(x, **more)
        return [*(outputs if mode is None else [outputs]), *one(x, initial_state=states, **more)]

    types = check(build, mask, states=2)
    assert (types.count("LSTM"), types.count("GRU")) == (2, 3)


def test_bidirectional_unrolled_cells_take_the_activations_that_operators_lack() -> None:
    check(bidirectional("LSTM", activation="gelu", return_sequences=True), "holes", TIME)


# Wrapper


class Twice(Wrapper):
    """A layer applied two times."""

    def call(self, x: Any) -> Any:
        return self.layer.trace(self.layer.trace(x))


def test_a_wrapper_of_ones_own() -> None:
    model = Model(x := Input((3,)), Twice(Dense(3, name="inner"), name="outer")(x))
    weights = [np.full((3, 3), 2.0), np.ones(3)]
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(np.ones((1, 3), np.float32)), [[43.0] * 3])
    config = model.get_layer("outer").get_config()
    assert Twice.from_config(config).get_config() == config
    theirs = keras.layers.Wrapper(keras.layers.Dense(3, name="inner"), name="outer").get_config()
    assert set(config) == set(theirs)
    with pytest.raises(InvalidArgumentError, match=r"layer must be a layer; received layer=3"):
        Twice(3)  # type: ignore[arg-type]
