"""The pooling layers against Keras's: every argument, known and unknown sizes, channels last and first, masks."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

import kir.layers
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.layers import AdaptiveMaxPooling1D, AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types

SHAPES: dict[int, tuple[Any, ...]] = {1: (11, 4), 2: (9, 8, 4), 3: (7, 6, 5, 4)}
UNKNOWN: dict[int, tuple[Any, ...]] = {1: (None, 4), 2: ("height", "width", 4), 3: ("x", 6, "z", 4)}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"strides": 1},
    "same": {"padding": "same"},
    "same_overlapping": {"pool_size": 3, "strides": 2, "padding": "same"},
    "same_without_strides": {"pool_size": 4, "strides": 1, "padding": "same"},
    "gaps": {"pool_size": 2, "strides": 3},
}


def channels_first(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    return (shape[-1], *shape[:-1])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_pooling(kind: str, name: str, rank: int) -> None:
    options = {"pool_size": 2, **OPTIONS[name]}
    check_layer(f"{kind}Pooling{rank}D", SHAPES[rank], **options)
    check_layer(f"{kind}Pooling{rank}D", UNKNOWN[rank], **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_pooling_with_the_channels_first(kind: str, rank: int) -> None:
    options: dict[str, Any] = {"pool_size": 3, "strides": 2, "padding": "same", "data_format": "channels_first"}
    proto = check_layer(f"{kind}Pooling{rank}D", channels_first(SHAPES[rank]), **options)
    assert node_types(proto) == [f"{kind}Pool"]


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_same_with_gaps_between_the_windows(kind: str) -> None:
    options: dict[str, Any] = {"pool_size": 2, "strides": (3, 5), "padding": "same"}
    check_layer(f"{kind}Pooling2D", (9, 8, 4), **options)
    check_layer(f"{kind}Pooling2D", (10, 11, 4), **options)
    with pytest.raises(UnsupportedError, match="give the input concrete sizes"):
        check_layer(f"{kind}Pooling2D", (None, 8, 4), **options)


def test_sizes_for_each_axis() -> None:
    check_layer("MaxPooling2D", (9, 8, 4), pool_size=(2, 3), strides=[3, 1])
    check_layer("AveragePooling2D", (9, 8, 4), pool_size=[2, 3])


def test_the_default_window_is_of_two() -> None:
    check_layer("MaxPooling3D", (6, 5, 4, 2))


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
@pytest.mark.parametrize("class_name", ["MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"])
def test_other_dtypes(class_name: str, dtype: str) -> None:
    tolerance = 2e-6 if dtype == "float64" else 2e-3
    spec = ((9, 8, 4), "float64" if dtype == "float64" else "float32")
    options = {} if class_name.startswith("Global") else {"pool_size": 2}
    check_layer(class_name, spec, dtype=dtype, atol=tolerance, rtol=tolerance, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(kind: str, rank: int, keepdims: bool) -> None:
    proto = check_layer(f"Global{kind}Pooling{rank}D", SHAPES[rank], keepdims=keepdims)
    assert node_types(proto) == ["ReduceMax" if kind == "Max" else "ReduceMean"]
    check_layer(f"Global{kind}Pooling{rank}D", UNKNOWN[rank], keepdims=keepdims)
    first = channels_first(SHAPES[rank])
    check_layer(f"Global{kind}Pooling{rank}D", first, keepdims=keepdims, data_format="channels_first")


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_global_mean_leaves_masked_steps_out(data_format: str, keepdims: bool) -> None:
    def pool(library: Any, x: Any, mask: Any) -> Any:
        return library.GlobalAveragePooling1D(data_format=data_format, keepdims=keepdims)(x, mask=mask)

    specs = ((None, 3) if data_format == "channels_last" else (3, None), ((None,), "bool"))
    model, reference = build_both(pool, *specs)
    x, _ = draw_feeds(*specs)
    mask = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    assert_matches_keras(model, reference, [x, mask])


def test_the_mask_ends_at_the_global_mean() -> None:
    x = kir.layers.Masking()(kir.Input((5, 3)))
    assert kir.Model(x, kir.layers.Dense(2)(kir.layers.GlobalAveragePooling1D()(x))).output_shape == (None, 2)


ADAPTIVE: list[tuple[tuple[int, ...], Any]] = [
    ((12, 4), 4),
    ((11, 4), 4),
    ((11, 4), 7),
    ((3, 4), 5),
    ((1, 4), 3),
    ((7, 4), (1,)),
    ((9, 8, 4), (3, 5)),
    ((9, 8, 4), 2),
    ((9, 8, 4), (1, 4)),
    ((7, 6, 5, 4), (3, 1, 4)),
]


@pytest.mark.parametrize(("shape", "output_size"), ADAPTIVE, ids=str)
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_adaptive_pooling(kind: str, shape: tuple[int, ...], output_size: Any) -> None:
    name = f"Adaptive{kind}Pooling{len(shape) - 1}D"
    check_layer(name, shape, output_size=output_size)
    check_layer(name, channels_first(shape), output_size=output_size, data_format="channels_first")


@pytest.mark.parametrize("steps", [1, 4, 5, 9])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_adaptive_pooling_of_unknown_sizes(kind: str, steps: int) -> None:
    for shape, output_size in [((None, 4), 3), ((None, 8, 4), (1, 4)), ((None, 6, None, 4), (4, 5, 2))]:
        name = f"Adaptive{kind}Pooling{len(shape) - 1}D"
        model, reference = build_both(lambda library, x, n=name, o=output_size: getattr(library, n)(o)(x), shape)
        assert model.output_shape == reference.output_shape
        assert_matches_keras(model, reference, draw_feeds(shape, unknown=steps))


def test_nothing_is_divided_into_no_windows() -> None:
    with pytest.raises(ShapeError, match="spatial axis 0 is empty"):
        AdaptiveMaxPooling1D(2)(kir.Input((0, 4)))


def test_output_shape() -> None:
    assert MaxPooling2D(2).compute_output_shape((None, 9, 8, 4)) == (None, 4, 4, 4)
    assert AveragePooling2D(2, padding="same").compute_output_shape((None, 9, 8, 4)) == (None, 5, 4, 4)
    assert GlobalAveragePooling2D().compute_output_shape((None, None, 8, 4)) == (None, 4)


@pytest.mark.parametrize("name", [name for name in kir.layers.__all__ if "Pool" in name])
def test_names_and_arguments_are_those_of_keras(name: str) -> None:
    def positional(cls: Any) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "name"]

    ours, theirs = getattr(kir.layers, name), getattr(keras.layers, name)
    assert ours.__name__ == theirs.__name__
    assert positional(ours) == positional(theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_size": 0}, "pool_size must be"),
        ({"pool_size": (2, 2, 2)}, "pool_size must be an integer of at least 1, or 2 of them"),
        ({"strides": 0}, "strides must be"),
        ({"padding": "causal"}, "padding must be one of 'valid', 'same'"),
        ({"data_format": "NCHW"}, "data_format must be one of"),
    ],
)
def test_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        MaxPooling2D(**options)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="needs an input of rank 4"):
        MaxPooling2D().compute_output_shape((None, 9, 4))
    with pytest.raises(ShapeError, match="needs an input of rank 4"):
        GlobalAveragePooling2D().compute_output_shape((None, 9, 4))
    with pytest.raises(ShapeError, match="too small along spatial axis 1 for a window that spans 3"):
        MaxPooling2D(3).compute_output_shape((None, 9, 2, 4))


def test_a_window_of_masked_steps_is_lost() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot carry"):
        kir.layers.MaxPooling1D()(kir.layers.Masking()(kir.Input((5, 3))))


def test_a_mean_of_no_steps_is_nan_as_in_keras() -> None:
    model, reference = build_both(lambda library, x: library.GlobalAveragePooling1D()(library.Masking()(x)), (4, 3))
    feed = np.zeros((2, 4, 3), np.float32)
    with np.errstate(all="ignore"):
        assert np.isnan(np.asarray(reference(feed))).all()
    assert np.isnan(model.predict(feed)).all()
