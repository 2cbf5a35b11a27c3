"""The recurrent layers against real Keras, with masks of every kind."""

from __future__ import annotations

import itertools
import json
from typing import Any

import keras
import numpy as np
import pytest

from kir import Model, activations, layers, passes
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir import interpreter
from kir.ir.structural import Constant
from kir.layers import GRU, LSTM, Input, SimpleRNN
from kir.layers.cell import RECURRENT_ACTIVATIONS
from kir.modeling.lower import lower
from kir.ops.random import Dropout
from tests.oracle import assert_matches_keras, assert_same_config, build_both, node_types

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 3

MASKS = {
    "all valid": [[1, 1, 1, 1, 1]] * 3,
    "holes": [[1, 0, 1, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0]],
    "front": [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]],
    "end": [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]],
    "nothing valid in some rows": [[0, 0, 0, 0, 0], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]],
    "nothing valid": [[0, 0, 0, 0, 0]] * 3,
}
KINDS = ("SimpleRNN", "GRU", "LSTM")
SWITCHES = ("return_sequences", "go_backwards", "zero_output_for_mask")
STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}
LOOPS = {"Loop", "Scan", "If"}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_mask = pytest.mark.parametrize("mask", MASKS)


def make_x(seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)


def make_states(kind: str) -> list[Any]:
    random = np.random.default_rng(2)
    return [random.normal(size=(BATCH, UNITS)).astype(np.float32) for _ in range(STATES[kind])]


def check(kind: str, mask: str | None, time: Any = "time", stateful_inputs: bool = False, **options: Any) -> Any:
    """One layer against Keras, with a mask as an input of the model; the nodes of the file."""

    def build(library: Any, x: Any, *more: Any) -> Any:
        layer = getattr(library, kind)(UNITS, **options)
        given: dict[str, Any] = {} if mask is None else {"mask": more[0]}
        if stateful_inputs:
            given["initial_state"] = list(more[len(given) :])
        return layer(x, **given)

    specs: list[Any] = [(time, FEATURES)]
    feeds = [make_x()]
    if mask is not None:
        specs.append(((time,), "bool"))
        feeds.append(np.array(MASKS[mask], bool))
    if stateful_inputs:
        specs += [(UNITS,)] * STATES[kind]
        feeds += make_states(kind)
    types = node_types(assert_matches_keras(*build_both(build, *specs), feeds))
    assert not LOOPS & set(types)
    return types


@each_kind
@each_mask
@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=3)), ids=str)
def test_masks(kind: str, mask: str, switches: tuple[bool, ...]) -> None:
    check(kind, mask, **dict(zip(SWITCHES, switches, strict=True)))


@each_kind
@pytest.mark.parametrize("time", ["time", TIME])
@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=2)), ids=str)
def test_without_a_mask(kind: str, time: Any, switches: tuple[bool, ...]) -> None:
    check(kind, None, time, **dict(zip(SWITCHES, switches, strict=False)))


@each_kind
@pytest.mark.parametrize("mask", [None, "holes", "front", "nothing valid in some rows"])
@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=3)), ids=str)
def test_states_in_and_out(kind: str, mask: str | None, switches: tuple[bool, ...]) -> None:
    options = dict(zip(SWITCHES, switches, strict=True))
    check(kind, mask, stateful_inputs=True, return_state=True, **options)


@each_kind
@each_mask
def test_unrolled_layers_have_other_numbers_at_masked_steps(kind: str, mask: str) -> None:
    for backwards in (False, True):
        options = {"go_backwards": backwards, "zero_output_for_mask": True, "return_sequences": True}
        check(kind, mask, TIME, stateful_inputs=True, unroll=True, **options)
        check(kind, mask, TIME, stateful_inputs=True, unroll=True, **options | {"return_sequences": False})


@each_kind
@each_mask
def test_static_sizes(kind: str, mask: str) -> None:
    check(kind, mask, TIME, return_sequences=True)


@pytest.mark.parametrize(
    ("kind", "options"), [*[(kind, {"use_bias": False}) for kind in KINDS], ("GRU", {"reset_after": False})]
)
@pytest.mark.parametrize("mask", [None, "holes"])
def test_biases(kind: str, options: dict[str, Any], mask: str | None) -> None:
    check(kind, mask, return_sequences=True, **options)
    check(kind, mask, return_sequences=True, go_backwards=True, **options | {"use_bias": False})


@each_kind
@pytest.mark.parametrize(
    "name", [name for name in activations.ACTIVATIONS if activations.ACTIVATIONS[name] in RECURRENT_ACTIVATIONS]
)
def test_activations(kind: str, name: str) -> None:
    check(kind, "holes", activation=name)
    if kind != "SimpleRNN":
        check(kind, None, activation="relu", recurrent_activation=name, return_sequences=True)


def test_no_activation_is_linear() -> None:
    check("SimpleRNN", None, activation=None)


@each_kind
def test_fewest_nodes(kind: str) -> None:
    assert check(kind, None, TIME) == ["Transpose", kind.removeprefix("Simple"), "Reshape"]
    assert len(check(kind, None, TIME, return_sequences=True)) == 4
    assert len(check(kind, "holes", TIME)) == 8
    assert len(check(kind, "holes", TIME, return_sequences=True)) == 13
    assert len(check(kind, "holes")) == 9
    assert len(check(kind, "holes", return_sequences=True)) == 14


@each_kind
def test_16_bit_floats(kind: str) -> None:
    def build(library: Any, x: Any) -> Any:
        # Keras's orthogonal initializer has no 16-bit form in NumPy.
        options = {"dtype": "float16", "recurrent_initializer": "glorot_uniform"}
        return getattr(library, kind)(UNITS, return_sequences=True, **options)(x)

    model, reference = build_both(build, (("time", FEATURES), "float16"))
    x = make_x().astype(np.float16)
    predicted = model.predict(x)
    assert predicted.dtype == np.float16
    np.testing.assert_allclose(predicted, np.asarray(reference(x)), atol=1e-2)


@each_kind
def test_shapes(kind: str) -> None:
    layer = getattr(layers, kind)(UNITS, return_sequences=True, return_state=True)
    output, *states = layer(Input((None, FEATURES)))
    assert output.shape == (None, None, UNITS)
    assert [state.shape for state in states] == [(None, UNITS)] * STATES[kind]


def test_a_layer_called_twice_has_its_weights_once() -> None:
    layer = LSTM(UNITS)
    first, second = Input((4, FEATURES)), Input((6, FEATURES))
    graph = lower(Model([first, second], [layer(first), layer(second)]))
    labels = [node.op.label for node in graph.order() if isinstance(node.op, Constant)]
    assert labels == [f"{layer.name}/{weight}" for weight in ("kernel", "recurrent_kernel", "bias")]


def test_new_weights_are_used() -> None:
    model = Model(x := Input((None, FEATURES)), SimpleRNN(UNITS)(x))
    before = model.predict(make_x())
    model.set_weights([2 * array for array in model.get_weights()])
    assert not np.allclose(before, model.predict(make_x()))


def test_the_forget_gate_is_open_at_first() -> None:
    for options in ({}, {"unit_forget_bias": False}, {"bias_initializer": "ones"}):
        ours, theirs = LSTM(UNITS, **options), keras.layers.LSTM(UNITS, **options)
        ours.build((None, None, FEATURES))  # type: ignore[arg-type]
        theirs.build((None, None, FEATURES))
        np.testing.assert_array_equal(ours.get_weights()[2], theirs.get_weights()[2])


@each_kind
def test_the_config_is_that_of_keras(kind: str) -> None:
    options: dict[str, Any] = {"name": "given", "dropout": 0.25, "recurrent_dropout": 0.5, "return_sequences": True}
    options |= {"kernel_regularizer": "l2", "bias_constraint": "non_neg", "activation": "relu", "unroll": True}
    for given in ({"name": "given"}, options):
        assert_same_config(getattr(layers, kind)(UNITS, **given), getattr(keras.layers, kind)(UNITS, **given))


@each_kind
def test_saved_configs_are_read(kind: str) -> None:
    config = json.loads(json.dumps(getattr(keras.layers, kind)(UNITS, go_backwards=True).get_config()))
    assert getattr(layers, kind).from_config(config).go_backwards


@each_kind
def test_encoder_and_decoder(kind: str) -> None:
    def build(library: Any, x: Any, y: Any) -> Any:
        # The first decoder ignores the mask, which Keras does not hand to a call with several tensors; the second not.
        x, y = library.Masking()(x), library.Masking()(y)
        _, *states = getattr(library, kind)(UNITS, return_state=True)(x)
        decoded = getattr(library, kind)(UNITS, return_sequences=True)(y, initial_state=states)
        return library.Dense(2)(getattr(library, kind)(UNITS, return_sequences=True)(decoded))

    feeds = [make_x(seed) * np.array(MASKS[mask])[:, :, None] for seed, mask in enumerate(("holes", "front"))]
    specs = [("source", FEATURES), ("target", FEATURES)]
    types = node_types(assert_matches_keras(*build_both(build, *specs), [x.astype(np.float32) for x in feeds]))
    assert types.count("GatherND") == 3
    assert not LOOPS & set(types)


@each_kind
@pytest.mark.parametrize("backwards", [False, True])
def test_masked_steps_may_hold_anything(kind: str, backwards: bool) -> None:
    def build(library: Any, x: Any, mask: Any) -> Any:
        x = getattr(library, kind)(UNITS, return_sequences=True)(x, mask=mask)
        return getattr(library, kind)(UNITS, go_backwards=backwards)(x, mask=mask)

    mask = np.array(MASKS["holes"], bool)
    x = np.where(mask[:, :, None], make_x(), np.float32("nan"))
    assert_matches_keras(*build_both(build, ("time", FEATURES), (("time",), "bool")), [x, mask])


def test_long_sequences() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 300, FEATURES)).astype(np.float32)
    mask = random.random((8, 300)) < np.linspace(0, 1, 8)[:, None]

    def build(library: Any, x: Any, mask: Any) -> Any:
        return library.GRU(UNITS, return_sequences=True)(x, mask=mask)

    assert_matches_keras(*build_both(build, ("time", FEATURES), (("time",), "bool")), [x, mask])


# Training


def test_dropped_inputs_are_the_same_at_every_step() -> None:
    layer = SimpleRNN(FEATURES, activation="linear", dropout=0.5, return_sequences=True, seed=3)
    model = Model(x := Input((None, FEATURES)), layer(x))
    model.set_weights([np.eye(FEATURES), np.zeros((FEATURES, FEATURES)), np.zeros(FEATURES)])
    ones = np.ones((BATCH, TIME, FEATURES), np.float32)
    (output,) = interpreter.run(lower(model, training=True), {model.input_names[0]: ones}).values()
    assert set(np.unique(output)) == {0.0, 2.0}
    assert (output == output[:, :1]).all()


def test_without_training_nothing_is_dropped() -> None:
    model = Model(x := Input((None, FEATURES)), LSTM(UNITS, dropout=0.5, recurrent_dropout=0.5)(x))
    assert not any(isinstance(node.op, Dropout) for node in lower(model).order())


def test_recurrent_dropout_over_an_unknown_number_of_steps() -> None:
    layer = SimpleRNN(FEATURES, activation="linear", recurrent_dropout=0.5, return_sequences=True, seed=3)
    model = Model(x := Input((None, FEATURES)), layer(x))
    model.set_weights([np.zeros((FEATURES, FEATURES)), np.eye(FEATURES), np.ones(FEATURES)])
    zeros = np.zeros((BATCH, TIME, FEATURES), np.float32)
    (output,) = interpreter.run(lower(model, training=True), {model.input_names[0]: zeros}).values()
    # What is dropped stays dropped: 1 at each step, or 1, 3, 7, ….
    assert set(np.unique(output[:, 1])) == {1.0, 3.0}
    assert ((output[:, 1] == 1) == (output[:, -1] == 1)).all()


@pytest.mark.parametrize("options", [{"activation": "gelu"}, {"recurrent_activation": "silu"}])
def test_other_activations_over_an_unknown_number_of_steps(options: dict[str, str]) -> None:
    def build(library: Any, x: Any) -> Any:
        return library.LSTM(UNITS, return_state=True, **options)(x)

    assert "Scan" in node_types(assert_matches_keras(*build_both(build, ("time", FEATURES)), [make_x()]))


# Errors


def test_stateful_needs_a_known_batch() -> None:
    with pytest.raises(ShapeError, match=r"stateful=True, which needs a known batch size.*batch_size="):
        GRU(UNITS, stateful=True)(Input((None, FEATURES)))


def test_number_of_initial_states() -> None:
    with pytest.raises(InvalidArgumentError, match="has 2 states; received initial_state with 1"):
        LSTM(UNITS)(Input((None, FEATURES)), initial_state=[Input((UNITS,))])


def test_size_of_initial_states() -> None:
    with pytest.raises(ShapeError, match="initial_h"):
        GRU(UNITS)(Input((None, FEATURES)), initial_state=Input((UNITS + 1,)))


def test_rank_of_the_mask() -> None:
    with pytest.raises(ShapeError, match=r"mask of shape \(batch, time\); received \(batch,\)"):
        LSTM(UNITS)(Input((None, FEATURES)), mask=Input((), dtype="bool"))


def test_rank() -> None:
    with pytest.raises(ShapeError, match=r"rank 3, \(batch, time, features\); received \(batch, 4\)"):
        LSTM(UNITS)(Input((FEATURES,)))


@pytest.mark.parametrize("options", [{"units": 0}, {"units": 2, "dropout": 2}, {"units": 2, "implementation": 3}])
def test_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="received"):
        GRU(**options)


def test_unknown_argument() -> None:
    with pytest.raises(InvalidArgumentError, match="SimpleRNN has no argument recurrent_activation"):
        SimpleRNN(UNITS, recurrent_activation="tanh")  # type: ignore[call-arg]


def test_passes_keep_masked_layers_bit_for_bit_at_level_1() -> None:
    mask_input, x = Input(("time",), dtype="bool"), Input(("time", FEATURES))
    model = Model([x, mask_input], LSTM(UNITS, return_sequences=True)(x, mask=mask_input))
    feeds = dict(zip(model.input_names, [make_x(), np.array(MASKS["holes"], bool)], strict=True))
    passes.run(lower(model), passes.pipeline(1), check=True, feeds=feeds)


@each_kind
def test_integers_like_keras(kind: str) -> None:
    def build(library: Any, x: Any) -> Any:
        both = library.Bidirectional(getattr(library, kind)(2))
        return [getattr(library, kind)(2)(x), both(x)]

    assert_matches_keras(*build_both(build, ((5, 3), "int32")), [np.arange(30, dtype=np.int32).reshape(2, 5, 3) - 15])
