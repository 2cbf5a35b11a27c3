"""Dense, Identity, Masking and Lambda against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, Sequential, config, layers
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, TraceError
from kir.layers import LSTM, Dense, Identity, Lambda, Masking
from kir.modeling.lower import lower
from tests.oracle import (
    assert_matches_keras,
    assert_same_config,
    build_both,
    check_layer,
    draw_feeds,
    node_types,
    show_mask,
)

DTYPES = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-6}

# Dense

DENSES: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((4,), {}),
    ((5, 4), {"activation": "tanh"}),
    ((None, 4), {"use_bias": False, "activation": "relu"}),
    ((2, None, 4), {"activation": "softmax"}),
    (
        (4,),
        {
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l1",
            "bias_regularizer": "l2",
            "activity_regularizer": "l1",
            "kernel_constraint": "non_neg",
            "bias_constraint": "max_norm",
        },
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), DENSES)
def test_dense_like_keras(shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Dense(3, name="checked", dtype=dtype, **options)(x)

    model, reference = build_both(build, (shape, dtype))
    ours, theirs = (one.get_layer("checked").get_config() for one in (model, reference))
    assert {key: ours[key] for key in ("units", "activation", "use_bias")} == {
        key: theirs[key] for key in ("units", "activation", "use_bias")
    }
    assert set(ours) <= set(theirs)
    tolerance = 4 * DTYPES[dtype]
    assert_matches_keras(model, reference, draw_feeds((shape, dtype)), tolerance, tolerance)


def test_dense_carries_masks() -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    both = build_both(lambda library, x: show_mask(library, library.Dense(2)(library.Masking()(x))), (5, 4))
    assert_matches_keras(*both, [x], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"units": 0}, "0"),
        ({"units": -3}, "-3"),
        ({"units": 2.5}, "2.5"),
        ({"units": "many"}, "many"),
        ({"units": 2, "use_bias": "no"}, "no"),
        ({"units": 2, "activation": "rellu"}, "rellu"),
        ({"units": 2, "kernel_initializer": "glorot"}, "glorot"),
        ({"units": 2, "bias_initializer": 3}, "3"),
        ({"units": 2, "kernel_regularizer": "l7"}, "l7"),
        ({"units": 2, "bias_regularizer": "l7"}, "l7"),
        ({"units": 2, "activity_regularizer": "l7"}, "l7"),
        ({"units": 2, "kernel_constraint": "tiny"}, "tiny"),
        ({"units": 2, "bias_constraint": "tiny"}, "tiny"),
        ({"units": 2, "name": 3}, "3"),
        ({"units": 2, "dtype": "float33"}, "float33"),
        ({"units": 2, "trainable": "yes"}, "yes"),
        ({"units": 2, "input_shape": "wide"}, "wide"),
        ({"units": 2, "input_dim": -1}, "-1"),
        ({"units": 2, "batch_input_shape": (2.5,)}, "2.5"),
        ({"units": 2, "batch_size": 0, "input_shape": (3,)}, "0"),
    ],
)
def test_bad_arguments_of_dense_are_repeated(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        Dense(**options)
    assert value in str(error.value)


def test_dense_needs_a_known_last_axis_of_rank_two() -> None:
    with pytest.raises(ShapeError, match=r"rank 2 or more.*\(batch,\)"):
        Dense(2)(Input(()))
    with pytest.raises(ShapeError, match="every size of a weight must be known"):
        Dense(2)(Input((None,)))


# Identity


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (None, 4)])
def test_identity_like_keras(shape: tuple[Any, ...], dtype: str) -> None:
    check_layer("Identity", (shape, dtype), dtype=dtype)


def test_identity_passes_lists_and_masks() -> None:
    x = Masking()(Input((5, 4)))
    first, second = Identity()([x, Input((3,))])
    assert first.mask_type is not None
    assert second.mask_type is None


# Masking


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 4), (None, 4), (5, 2, 3)])
@pytest.mark.parametrize("mask_value", [0.0, 1, -1.5])
def test_masking_like_keras(mask_value: float, shape: tuple[Any, ...], dtype: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Masking(mask_value=mask_value, name="checked", dtype=dtype)(x)

    model, reference = build_both(build, (shape, dtype))
    x = draw_feeds((shape, dtype))[0]
    x[0, 1] = x[1, 3:] = mask_value
    x[2, 0, ..., 0] = mask_value
    assert_matches_keras(model, reference, [x])
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    assert not model.predict(x)[0, 1].any()


def test_the_mask_is_keras_mask() -> None:
    x = draw_feeds((None, 4))[0]
    x[0, 1] = x[1, 3:] = 2
    both = build_both(lambda library, x: show_mask(library, library.Masking(2)(x)), (None, 4))
    assert_matches_keras(*both, [x], atol=1e-5)


def test_the_comparison_is_made_once() -> None:
    x = Input((5, 4))
    model = Model(x, show_mask(layers, Masking()(x)))
    assert [type(node.op).__name__ for node in lower(model).order()].count("Equal") == 1


def test_a_mask_value_for_every_feature() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = values
    both = build_both(lambda library, x: show_mask(library, library.Masking(np.array(values))(x)), (5, 4))
    assert_matches_keras(*both, [x], atol=1e-5)
    layer = Masking(np.array(values))
    np.testing.assert_array_equal(Masking.from_config(layer.get_config()).mask_value, values)


def test_none_masks_nothing_and_passes_masks_on() -> None:
    x = Input((5, 4), name="x")
    assert Masking(mask_value=None)(x).mask_type is None
    assert Masking(mask_value=None)(Masking()(x)).mask_type is not None
    zeros = np.zeros((2, 5, 4), np.float32)
    np.testing.assert_array_equal(Model(x, Masking(mask_value=None)(x)).predict(zeros), zeros)


@pytest.mark.parametrize("value", ["zero", float("nan"), True, [[1.0]], {"a": 1}, object])
def test_bad_mask_values_are_repeated(value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        Masking(mask_value=value)
    assert repr(value) in str(error.value)


# Lambda: what it computes


def antirectifier(ops: Any, x: Any) -> Any:
    x -= ops.mean(x, axis=1, keepdims=True)
    return ops.concatenate([ops.relu(x), ops.relu(-x)], axis=1)


LAMBDAS: dict[str, tuple[Any, Any]] = {
    "an operator": (lambda ops: lambda x: x**2, None),
    "in place": (lambda ops: lambda x: antirectifier(ops, x), lambda shape: (shape[0], shape[1] * 2)),
    "a tuple": (lambda ops: lambda x: x[:, :2], (2,)),
    "an unknown size in the tuple": (lambda ops: lambda x: x[:, :2], (None,)),
    "indexing": (lambda ops: lambda x: x[..., ::-1] + x[:, None, 0], None),
    "NumPy": (lambda ops: lambda x: ops.sqrt(np.float32(2) + abs(x)), None),
    "an array": (lambda ops: lambda x: x * np.arange(4, dtype=np.float32), None),
}


@pytest.mark.parametrize("what", LAMBDAS)
def test_lambda_like_keras(what: str) -> None:
    make, output_shape = LAMBDAS[what]

    def build(library: Any, x: Any) -> Any:
        return library.Lambda(make(K if library is layers else keras.ops), output_shape=output_shape)(x)

    shape = (None, 4) if what == "an array" else (4,) if what != "indexing" else (4, 4)
    assert_matches_keras(*build_both(build, shape), draw_feeds(shape))


def test_numpy_functions_are_traced() -> None:
    x = Input((4,), name="x")
    model = Model(x, Lambda(lambda x: np.tanh(np.maximum(x, 0)) + np.sum(x, axis=-1, keepdims=True))(x))
    feed = draw_feeds((4,))[0]
    expected = np.tanh(np.maximum(feed, 0)) + feed.sum(-1, keepdims=True)
    np.testing.assert_allclose(model.predict(feed), expected, rtol=1e-5, atol=1e-6)


def test_lists_in_and_out() -> None:
    def build(library: Any, x: Any, y: Any) -> Any:
        return library.Lambda(lambda both: [both[0] * both[1], both[0] + 1.0], output_shape=[(4,), (4,)])([x, y])

    assert_matches_keras(*build_both(build, (4,), (4,)), draw_feeds((4,), (4,)))


def test_arguments_are_passed() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Lambda(lambda x, scale, offset=0.0: x * scale + offset, arguments={"scale": 3.0, "offset": 1})(x)

    assert_matches_keras(*build_both(build, (4,)), draw_feeds((4,)))


def test_training_is_passed_if_the_function_takes_it() -> None:
    seen = []

    def see(x: Any, training: bool) -> Any:
        seen.append(training)
        return x

    x = Input((4,))
    Lambda(lambda x, training: see(x, training))(x)
    Lambda(lambda x, training=None: see(x, training))(x, training=True)
    assert seen == [False, True]


def test_autocast_is_keras_autocast() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Lambda(lambda x: x * 2, dtype="float16")(x)

    model, reference = build_both(build, (4,))
    assert model.outputs[0].dtype == reference.outputs[0].dtype == "float16"
    assert_matches_keras(model, reference, draw_feeds((4,)), atol=2e-3)


def test_a_shape_may_be_a_list() -> None:
    assert Lambda(lambda x: x[:, :2], output_shape=[2])(Input((4,))).shape == (None, 2)


@pytest.mark.parametrize(
    ("result", "dtype"), [(5.0, "float32"), (3, "int32"), (np.ones((2, 3), np.float32), "float32")]
)
def test_numbers_and_arrays_are_results(result: Any, dtype: str) -> None:
    output = Lambda(lambda x: result)(Input((4,)))
    assert output.dtype == dtype
    assert output.shape == np.shape(result)


def test_a_lambda_runs_on_arrays() -> None:
    np.testing.assert_array_equal(Lambda(lambda x: x + 1)(np.ones((2, 3), np.float32)), np.full((2, 3), 2, np.float32))


# Lambda: masks


def test_a_function_of_the_mask() -> None:
    def build(library: Any, x: Any) -> Any:
        ops = K if library is layers else keras.ops

        def pool(x: Any, mask: Any = None) -> Any:
            return ops.sum(x * (1.0 if mask is None else ops.cast(mask, "float32")[..., None]), axis=1)

        return library.Lambda(pool, mask=lambda x, mask: None)(library.Masking()(x))

    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    assert_matches_keras(*build_both(build, (5, 4)), [x])


def test_the_mask_argument_as_a_function_and_as_an_array() -> None:
    always = np.array([[1, 0, 1, 0, 1]] * 3, bool)
    for mask in (lambda x, mask: mask, always):

        def build(library: Any, x: Any, mask: Any = mask) -> Any:
            return show_mask(library, library.Lambda(lambda x: x * 2, mask=mask)(library.Masking()(x)))

        both = build_both(build, (5, 4))
        x = draw_feeds((5, 4))[0]
        x[0, 1] = x[1, 3:] = 0
        assert_matches_keras(*both, [x], atol=1e-5)


def test_a_lambda_that_knows_no_mask_loses_it() -> None:
    masked = Masking()(Input((5, 4)))
    with pytest.raises(InvalidArgumentError, match="cannot carry"):
        Lambda(lambda x: x)(masked)
    assert Lambda(lambda x, mask: x)(masked).mask_type is None
    config.set_on_lost_mask("warn")
    try:
        with pytest.warns(UserWarning, match="the mask ends here"):
            assert LSTM(2)(Lambda(lambda x: x)(masked)).shape == (None, 2)
    finally:
        config.set_on_lost_mask("error")


# Lambda: the declared shape


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ((3,), "(None, 3)"),
        ((4, 1), "(None, 4, 1)"),
        ([(4,), (4,)], "(None, 4), (None, 4)"),
        (lambda shape: (*shape, 1), "(None, 4, 1)"),
        (lambda shape: [shape, shape], "(None, 4), (None, 4)"),
    ],
)
def test_a_contradicting_output_shape_is_an_error_with_both(declared: Any, said: str) -> None:
    with pytest.raises(ShapeError) as error:
        Lambda(lambda x: x * 2, output_shape=declared, name="double")(Input((4,)))
    assert said in str(error.value)
    assert "returns (None, 4)" in str(error.value)
    assert "double" in str(error.value)


def test_the_shape_function_sees_none_for_unknown_sizes() -> None:
    seen = []

    def see(shape: Any) -> Any:
        seen.append(shape)
        return shape

    Lambda(lambda x: x, output_shape=see)(Input((None, 4)))
    Lambda(lambda x: x[0], output_shape=lambda shapes: see(shapes)[0])([Input((4,)), Input((3,))])
    assert seen == [(None, None, 4), [(None, 4), (None, 3)]]


def test_an_error_in_the_shape_function_is_located() -> None:
    def wrong(shape: Any) -> Any:
        assert len(shape) == 5, "only volumes"
        return shape

    with pytest.raises(TraceError, match=r"output_shape function .*wrong .*test_core.py:\d+.*only volumes"):
        Lambda(lambda x: x, output_shape=wrong)(Input((4,)))


# Lambda: what cannot be traced


def branch(x: Any) -> Any:
    return x if K.sum(x) > 0 else -x


def helper(x: Any) -> Any:
    return x.numpy()


def calls_helper(x: Any) -> Any:
    y = x + 1
    return helper(y)


def unsupported(x: Any) -> Any:
    return np.fft.rfft2(x)


def unknown_function(x: Any) -> Any:
    return K.softmaxx(x)


def broken(x: Any) -> Any:
    return undefined_name + x  # type: ignore[name-defined]  # noqa: F821


def wrong_shapes(x: Any) -> Any:
    return K.concatenate([x, x[:, :, None]], axis=1)


def converts(x: Any) -> Any:
    return float(x)


class Callable:
    """An object whose class defines how it is called."""

    def __call__(self, x: Any) -> Any:
        return bool(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (branch, ["branch", "if K.sum(x) > 0", "K.where"]),
        (calls_helper, ["calls_helper", "x.numpy()", "kir.backend"]),
        (unsupported, ["unsupported", "np.fft"]),
        (unknown_function, ["unknown_function", "softmax"]),
        (broken, ["broken", "NameError", "undefined_name", "kir.backend"]),
        (wrong_shapes, ["wrong_shapes", "K.concatenate"]),
        (converts, ["converts", "float()", "K.cast"]),
        (Callable(), ["Callable", "bool(x)", "K.where"]),
    ],
)
def test_what_cannot_be_traced_is_located_and_explained(function: Any, expected: list[str]) -> None:
    with pytest.raises(TraceError) as error:
        Lambda(function, name="traced")(Input((4,)))
    message = str(error.value)
    assert all(part in message for part in ["traced", "test_core.py:", *expected]), message
    assert error.value.__cause__ is not None


def test_the_line_is_the_deepest_in_the_functions_file() -> None:
    line = helper.__code__.co_firstlineno + 1
    with pytest.raises(TraceError, match=rf"test_core.py:{line}, `return x.numpy\(\)`"):
        Lambda(calls_helper)(Input((4,)))


def test_a_function_that_returns_nothing() -> None:
    with pytest.raises(InvalidArgumentError, match="returned None"):
        Lambda(lambda x: None)(Input((4,)))


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"function": 3}, "function=3"),
        ({"function": "tanh"}, "'tanh'"),
        ({"function": abs, "output_shape": "wide"}, "'wide'"),
        ({"function": abs, "output_shape": (1.5,)}, "1.5"),
        ({"function": abs, "output_shape": 4}, "output_shape=4"),
        ({"function": abs, "mask": "all"}, "'all'"),
        ({"function": abs, "mask": [0.5]}, "0.5"),
        ({"function": abs, "arguments": [1]}, "[1]"),
    ],
)
def test_bad_arguments_of_lambda_are_repeated(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        Lambda(**options)
    assert value in str(error.value)


# Lambda: configs


def named(x: Any) -> Any:
    return x * 2


def test_the_config_holds_names_and_never_code() -> None:
    layer = Lambda(named, output_shape=(4,), arguments={"a": 1}, mask=np.array([True]), name="twice")
    found = layer.get_config()
    assert found["function"]["config"] == "named"
    assert (found["output_shape"], found["arguments"], found["name"]) == ((4,), {"a": 1}, "twice")
    assert Lambda(lambda x: x).get_config()["function"]["config"] == "<lambda>"
    again = Lambda.from_config(found, custom_objects={"named": named})
    assert again.get_config() == found
    assert again.function is named


def test_a_function_is_not_found_by_its_name_alone() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'named'.*custom_objects"):
        Lambda.from_config(Lambda(named).get_config())


def test_bytecode_is_refused() -> None:
    theirs = keras.layers.Lambda(lambda x: x).get_config()
    with pytest.raises(InvalidArgumentError, match=r"bytecode.*custom_objects"):
        Lambda.from_config(theirs)


def test_a_lambda_in_a_sequential_takes_its_input_shape() -> None:
    model = Sequential([Lambda(lambda x: x + 1, input_shape=(4,))])
    reference = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    assert model.output_shape == (None, 4)
    assert node_types(assert_matches_keras(model, reference, draw_feeds((4,)))) == ["Add"]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_dense_of_integers_like_keras(dtype: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return library.Dense(3, activation="tanh")(x)

    assert_matches_keras(*build_both(build, ((6,), dtype)), draw_feeds(((6,), dtype)))


def test_a_misspelled_argument_is_guessed() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Dense has no argument activaton; did you mean activation\? It has"
    ):
        Dense(3, activaton="relu")  # type: ignore[call-arg]


def test_a_size_that_is_returned_is_a_tensor() -> None:
    x = Input((None, 4))
    model = Model(x, Lambda(lambda x: [x.shape[1], K.size(x), 3])(x))
    steps, count, three = model.predict(np.zeros((2, 5, 4), np.float32))
    assert (steps, count, three) == (5, 40, 3)
    assert steps.dtype == count.dtype == np.int32


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3, 1e9])
def test_ternary_dense(threshold: float | None) -> None:
    """By the formulas of Keras 3.16: the sign of each weight above the threshold, and the mean of all as a factor."""
    rng = np.random.default_rng(3)
    x, kernel, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 4), (4, 3), (3,)))
    layer = layers.TernaryDense(3, threshold, activation="tanh")
    model = Sequential([Input((5, 4)), layer])
    model.set_weights([kernel, bias])
    mean = np.abs(kernel).mean()
    limit, factor = (0.5 * mean, mean) if threshold is None else (threshold, 1)
    ternary = np.sign(kernel) * (np.abs(kernel) > limit)
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ ternary * factor + bias), rtol=1e-5, atol=1e-6)
    copy = layers.TernaryDense.from_config(layer.get_config())
    assert copy.threshold == threshold
    with pytest.raises(InvalidArgumentError, match="threshold must be a finite number of at least 0"):
        layers.TernaryDense(3, threshold=-1.0)
