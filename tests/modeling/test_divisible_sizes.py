"""Unknown sizes of images that must be multiples for the layers to fit: found out, said, and exported so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model
from kir.cli import main
from kir.errors import KirError, ShapeError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import export_model
from kir.importers.keras_file import load_keras_model
from kir.importers.script import load_script
from kir.ir.dims import symbol
from kir.ir.types import join_sizes
from kir.modeling.divisible_sizes import build_fitting, given_sizes
from kir.modeling.lower import bind_input_shapes, lower

FACTORS = pytest.mark.filterwarnings("ignore:the layers fit only where:UserWarning")


def u_net(height: Any = None, depth: int = 2, padding: int = 0) -> Any:
    x = given = keras.Input((height, None, 3), name="image")
    if padding:
        x = keras.layers.ZeroPadding2D(((0, padding), (0, 0)))(x)
    kept = []
    for filters in range(2, 2 + depth):
        kept.append(x := keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x))
        x = keras.layers.Conv2D(filters, 3, 2, padding="same")(x) if filters == 2 else keras.layers.MaxPooling2D()(x)
    for old in reversed(kept):
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(x), old])
    return keras.Model(given, keras.layers.Conv2D(2, 1, name="mask")(x))


def saved(reference: Any, folder: Path) -> Model:
    reference.save(folder / "model.keras")
    return load_keras_model(folder / "model.keras")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_u_net_on_images_of_unknown_sizes(depth: int, tmp_path: Path) -> None:
    reference = u_net(depth=depth)
    factor = 2**depth
    with pytest.warns(UserWarning, match=f"image_1 of {factor}, image_2 of {factor}; the model takes no others"):
        model = saved(reference, tmp_path)
    assert model.input_shape == (None, None, None, 3)
    assert [str(size) for size in lower(model).inputs[0].output.type.shape[1:3]] == [
        f"{factor}*image_1",
        f"{factor}*image_2",
    ]
    assert export_model(model, tmp_path / "model.onnx").verification is not None
    session = make_session(tmp_path / "model.onnx")
    for height, width in ((factor, 3 * factor), (4 * factor, 2 * factor)):
        x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")
        np.testing.assert_allclose(run_session(session, {"image": x})["mask"], np.asarray(reference(x)), atol=1e-5)


@FACTORS
def test_only_the_axes_that_need_it_are_multiples(tmp_path: Path) -> None:
    model = saved(u_net(height=16), tmp_path)
    assert [str(size) for size in lower(model).inputs[0].output.type.shape] == ["batch", "16", "4*image_2", "3"]


@FACTORS
@pytest.mark.parametrize(("size", "found"), [(12, "12"), (symbol("h"), "4*h"), (8 * symbol("h"), "8*h")])
def test_multiples_are_set_like_other_unknown_sizes(size: Any, found: str, tmp_path: Path) -> None:
    model = saved(u_net(), tmp_path)
    sizes = bind_input_shapes(model, {"image": (1, size, 16, 3)})
    assert [str(one) for one in lower(model, sizes=sizes).inputs[0].output.type.shape] == ["1", found, "16", "3"]
    with pytest.raises(ShapeError, match=r"has size 4\*image_1 where 10 was asked for; expected a multiple of 4"):
        bind_input_shapes(model, {"image": (1, 10, 16, 3)})


def test_what_no_factor_helps_is_refused_as_it_was(tmp_path: Path) -> None:
    """A row more than an even number is odd."""
    with pytest.raises(KirError, match=r"cannot decide whether the sizes .*image_1"):
        saved(u_net(depth=1, padding=1), tmp_path)


def test_errors_of_other_kinds_are_raised_at_once() -> None:
    calls: list[int] = []

    def build() -> None:
        calls.append(1)
        raise ShapeError("something else")

    with pytest.raises(ShapeError, match="something else"):
        build_fitting(build)
    assert calls == [1]


def test_factors_do_not_grow_without_end() -> None:
    rounds = iter(range(2, 10**6))

    def build() -> None:
        join_sizes(symbol("h") // 2 ** next(rounds) * 2, symbol("h"))

    with pytest.raises(ShapeError, match=r"2\*\(h//4\) and h"):
        build_fitting(build)
    assert next(rounds) < 16


@FACTORS
def test_a_script_builds_its_model_again(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "from kir import Input, Model\nfrom kir.layers import Concatenate, MaxPooling1D, UpSampling1D\n"
        "x = Input((None, 3), name='steps')\nmodel = Model(x, Concatenate()([x, UpSampling1D()(MaxPooling1D()(x))]))\n"
    )
    model = load_script(path)
    assert str(lower(model).inputs[0].output.type) == "f32[batch, 2*steps_1, 3]"
    assert model.predict(np.ones((1, 6, 3), "float32")).shape == (1, 6, 6)


def test_given_sizes_help_layers_that_must_know_them(tmp_path: Path) -> None:
    x = keras.Input((None, None, 3), name="photo")
    resized = keras.layers.Resizing(4, 4, antialias=True)(x)
    reference = keras.Model(x, keras.layers.Flatten(name="pixels")(resized))
    reference.save(tmp_path / "model.keras")
    command = ["export", str(tmp_path / "model.keras"), "-o", str(tmp_path / "model.onnx")]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--input-shapes", "photo:n,6,9,3"])
    photo = np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype("float32")
    computed = run_session(make_session(tmp_path / "model.onnx"), {"photo": photo})["pixels"]
    np.testing.assert_allclose(computed, np.asarray(reference(photo)), atol=1e-5)
    with pytest.raises(KirError, match="without antialias"):
        load_keras_model(tmp_path / "model.keras")


@pytest.mark.parametrize("shape", [(1, 5, 3), (1, 5, 5, 3)])
def test_given_sizes_are_for_inputs_of_that_rank(shape: tuple[int, ...]) -> None:
    with given_sizes({"x": shape}):
        assert Input((None, 3), name="x").shape == (None, 5 if len(shape) == 3 else None, 3)
        assert Input((None, 3), name="y").shape == (None, None, 3)
    assert Input((None, 3), name="x").shape == (None, None, 3)
