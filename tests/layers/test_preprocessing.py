"""The preprocessing layers of numbers against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, config, layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import Normalization, Rescaling
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types, show_mask

CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "rescaling": ("Rescaling", (None, 3), {"scale": 0.25}),
    "rescaling offset": ("Rescaling", (None, 3), {"scale": 0.25, "offset": -1}),
    "rescaling lists": ("Rescaling", (2, 2, 3), {"scale": [0.25, 0.5, 2.0], "offset": [1.0, 2.0, 3.0]}),
    "rescaling integers": ("Rescaling", ((4,), "int32"), {"scale": 0.25}),
    "rescaling bytes": ("Rescaling", ((4,), "uint8"), {"scale": 0.25, "offset": 1.0}),
    "rescaling float16": ("Rescaling", ((4,), "float16"), {"scale": 0.25, "dtype": "float16"}),
    "normalization": ("Normalization", (None, 3), {}),
    "normalization of all": ("Normalization", (None, 3), {"axis": None}),
    "normalization of axes": ("Normalization", (4, 3), {"axis": (1, -1)}),
    "normalization of one": ("Normalization", (4, None), {"axis": 1, "invert": True}),
    "normalization given": ("Normalization", (4, 3), {"mean": [1.0, 2.0, 3.0], "variance": [0.5, 1.0, 4.0]}),
    "normalization of one number": ("Normalization", (4, 3), {"mean": 1.5, "variance": 4.0, "invert": True}),
    "normalization without variance": ("Normalization", (4,), {"axis": None, "mean": 0.0, "variance": 0.0}),
    "normalization of few": ("Normalization", (4, 3), {"axis": (1, 2), "mean": [1.0, 2, 3], "variance": [1.0, 2, 3]}),
    "normalization of arrays": ("Normalization", (3,), {"mean": np.arange(3.0), "variance": np.arange(3.0) + 1}),
    "normalization of integers": ("Normalization", ((3,), "int32"), {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_like_keras(case: Any) -> None:
    name, spec, options = case
    check_layer(name, spec, **options)


def test_rescaling_by_arrays() -> None:
    options = {"scale": np.array([0.25, 0.5, 2.0]), "offset": np.array([1.0])}
    assert_matches_keras(*build_both(lambda library, x: library.Rescaling(**options)(x), (3,)), draw_feeds((3,)))
    again = Rescaling.from_config(keras.layers.Rescaling(**options).get_config())
    np.testing.assert_array_equal(again.scale, options["scale"])
    assert Rescaling.from_config(again.get_config()).get_config() == again.get_config()


def test_rescaling_of_channels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "image_data_format", lambda: "channels_first")
    keras.config.set_image_data_format("channels_first")
    try:
        check_layer("Rescaling", (3, 2, 2), scale=[0.25, 0.5, 2.0], offset=1.0)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_normalization_adapts_as_keras_does() -> None:
    data = np.random.default_rng(0).normal(3, 2, size=(7, 4, 3)).astype(np.float32)

    ours, theirs = layers.Normalization(axis=(1, 2)), keras.layers.Normalization(axis=(1, 2))
    ours.adapt(data)
    theirs.adapt(data)
    for mine, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5)
    np.testing.assert_allclose(ours(data), theirs(data), rtol=1e-5, atol=1e-6)
    assert ours(Input((4, 3))).shape == (None, 4, 3)


def test_statistics_fold_to_two_nodes() -> None:
    assert node_types(check_layer("Normalization", (4, 3))) == ["Sub", "Div"]
    assert node_types(check_layer("Normalization", (4, 3), invert=True)) == ["Mul", "Add"]


@pytest.mark.parametrize("name", ["Rescaling", "Normalization"])
def test_masks_pass(name: str) -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    options = {"scale": 2.0} if name == "Rescaling" else {}

    def build(library: Any, x: Any) -> Any:
        return show_mask(library, getattr(library, name)(**options)(library.Masking()(x)))

    assert_matches_keras(*build_both(build, (5, 4)), [x], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rescaling("x"), "scale must be a number or an array of such; received scale='x'"),
        (lambda: Rescaling(1, [None]), r"offset must be a number or an array of such; received offset=\[None\]"),
        (lambda: Normalization(mean=1.0), "given together; received mean=1.0 and variance=None"),
        (lambda: Normalization(mean=[1.0, 2.0], variance=[1.0]), "must have one shape"),
        (lambda: Normalization(None, [1.0], [1.0]), r"of as many axes as axis=\(\) or less"),
        (lambda: Normalization()(Input((None,))), "every size of a weight must be known"),
        (lambda: Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(Input((3,))), r"mean of shape \(2,\)"),
        (lambda: Normalization(mean=1.0, variance=1.0).adapt(np.ones((2, 3))), "nothing to adapt"),
        (lambda: Normalization().adapt("data"), "data must be a number or an array of such"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises((InvalidArgumentError, ShapeError), match=message):
        make()
