"""The layers that change images in training only, against real Keras at inference."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model, layers
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.importers.keras_file import load_keras_model
from kir.layers.augmentation import Augmentation
from tests.tiers import first_of_each

PUBLIC = (getattr(layers, name) for name in layers.__all__)
CLASSES = sorted(
    (cls for cls in PUBLIC if isinstance(cls, type) and issubclass(cls, Augmentation)),
    key=lambda cls: cls.__name__,
)
# What has no default, and all else that is not the default. RandomCrop has no other data format that kir reads.
FILLED: dict[str, Any] = {"fill_mode": "nearest", "interpolation": "nearest", "fill_value": 1.0}
FIRST: dict[str, Any] = {"data_format": "channels_first"}
RANGE: dict[str, Any] = {"value_range": (0, 1), **FIRST}
OPTIONS: dict[str, dict[str, Any]] = {
    "AugMix": {"num_chains": 2, "chain_depth": 2, "factor": 0.2, "alpha": 0.5, "all_ops": False, **RANGE}
    | {"interpolation": "nearest"},
    "AutoContrast": RANGE,
    "CutMix": {"factor": 0.5, **FIRST},
    "Equalization": {"bins": 128, **RANGE},
    "MixUp": {"alpha": 0.3, **FIRST},
    "RandAugment": {"num_ops": 3, "factor": 0.2, "interpolation": "nearest", **RANGE},
    "RandomBrightness": {"factor": 0.2, **RANGE},
    "RandomColorDegeneration": {"factor": 0.2, **RANGE},
    "RandomColorJitter": {f"{what}_factor": 0.2 for what in ("brightness", "contrast", "saturation", "hue")} | RANGE,
    "RandomContrast": {"factor": [0.1, 0.2], "seed": 3, **RANGE},
    "RandomCrop": {"height": 3, "width": 5, "seed": 2},
    "RandomElasticTransform": {"factor": 0.5, "scale": 0.5, **FILLED, **RANGE},
    "RandomErasing": {"factor": 0.5, "scale": (0.1, 0.2), "fill_value": 1.0, **RANGE},
    "RandomFlip": {"mode": "horizontal", **FIRST},
    "RandomGaussianBlur": {"factor": 0.5, "kernel_size": 5, "sigma": 0.5, **RANGE},
    "RandomGrayscale": {"factor": 0.2, **FIRST},
    "RandomHue": {"factor": 0.2, **RANGE},
    "RandomInvert": {"factor": 0.5, **RANGE},
    "RandomPerspective": {"factor": 0.5, "scale": 0.5, "interpolation": "nearest", "fill_value": 1.0, **FIRST},
    "RandomPosterization": {"factor": 4, **RANGE},
    "RandomRotation": {"factor": 0.2, **FILLED, **FIRST},
    "RandomSaturation": {"factor": 0.2, **RANGE},
    "RandomSharpness": {"factor": 0.2, **RANGE},
    "RandomShear": {"x_factor": (0.0, 0.1), "y_factor": (0.1, 0.2), **FILLED, **FIRST},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": (0.2, 0.3), **FILLED, **FIRST},
    "RandomZoom": {"height_factor": 0.1, "width_factor": 0.2, **FILLED, **FIRST},
    "Solarization": {"addition_factor": 0.1, "threshold_factor": 0.2, **RANGE},
}
# With three channels, first or last.
SHAPE = (3, 5, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SHAPE))
ONE_COLOUR = np.full((1, *SHAPE), 7)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_configs_go_to_and_fro(cls: type[Augmentation]) -> None:
    options = OPTIONS.get(cls.__name__, {})
    ours, theirs = cls(**options), getattr(keras.layers, cls.__name__)(**options)
    assert set(ours.get_config()) >= set(theirs.get_config())
    config = json.loads(json.dumps(theirs.get_config()))
    assert cls.from_config(config).get_config().items() >= config.items()
    type(theirs).from_config(cls.from_config(config).get_config() | config)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("cls", first_of_each(lambda cls: cls, CLASSES), ids=lambda cls: cls.__name__)
def test_images_as_keras_gives_them_at_inference(cls: type[Augmentation], dtype: str) -> None:
    options = OPTIONS.get(cls.__name__, {})
    x = Input(SHAPE, dtype=dtype)
    model = Model(x, cls(**options)(x))
    theirs = getattr(keras.layers, cls.__name__)(**options)
    for images in (IMAGES.astype(dtype), ONE_COLOUR.astype(dtype)):
        wanted = np.asarray(theirs(images, training=False))
        np.testing.assert_allclose(model.predict(images), wanted, rtol=1e-6)


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1), (-1, 1)])
def test_auto_contrast_in_other_ranges(value_range: tuple[int, int], tmp_path: Any) -> None:
    images = np.random.default_rng(1).uniform(*value_range, IMAGES.shape).astype(np.float32)
    x = Input(SHAPE)
    model = Model(x, layers.AutoContrast(value_range)(x))
    wanted = np.asarray(keras.layers.AutoContrast(value_range)(images))
    np.testing.assert_allclose(model.predict(images), wanted, rtol=1e-5, atol=1e-6)
    assert model.export(tmp_path / "m.onnx").verification.passed


def test_an_augmentation_leaves_no_node(tmp_path: Any) -> None:
    x = Input(SHAPE, name="image")
    model = Model(x, layers.Dense(2)(layers.RandomZoom(0.1)(layers.RandomFlip()(x))))
    assert model.export(tmp_path / "m.onnx").file.node_count == 2


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not layers.Equalization], ids=lambda cls: cls.__name__)
def test_archives(cls: type[Augmentation], tmp_path: Any) -> None:
    """Of all but Equalization, which Keras cannot call on a symbolic tensor."""
    layer = getattr(keras.layers, cls.__name__)(**OPTIONS.get(cls.__name__, {}))
    keras.Sequential([keras.Input(SHAPE), layer]).save(tmp_path / "m.keras")
    (read,) = load_keras_model(tmp_path / "m.keras").layers[-1:]
    assert type(read) is cls


def test_of_a_dict_the_images_are_meant() -> None:
    x, labels = Input(SHAPE, dtype="uint8"), Input((2,))
    result = layers.RandomFlip()({"images": x, "labels": labels})
    assert result["images"].dtype == "float32"
    assert result["labels"].shape == (None, 2)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((7, 5, 3), {}), ((6, None, 3), {}), ((6, 5, 3), {"data_format": "channels_first"})],
)
def test_crops_that_keras_contradicts_itself_about(shape: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="use CenterCrop or Resizing"):
        layers.RandomCrop(6, 5, **options)(Input(shape))


def test_a_pipeline_is_its_layers(tmp_path: Any) -> None:
    x = Input(SHAPE)
    pipeline = layers.Pipeline([layers.Rescaling(2.0), layers.RandomFlip(), layers.Dense(2)], name="pipe")
    model = Model(x, pipeline(x))
    images = IMAGES.astype(np.float32)
    again = layers.Pipeline.from_config(json.loads(json.dumps(pipeline.get_config())))
    other = Model(x, again(x))
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(images), other.predict(images))
    assert [path for path, _ in model.layers[1].owned_layers().items()][2] == "layers/dense"
    assert model.export(tmp_path / "m.onnx").verification.passed


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="must be a list of layers"):
        layers.Pipeline([abs])  # type: ignore[list-item]
    with pytest.raises(InvalidArgumentError, match="data_format"):
        layers.RandomFlip(data_format="channels_middle")
    with pytest.raises(InvalidArgumentError, match="RandomFlip has no argument factor"):
        layers.RandomFlip(factor=3)  # type: ignore[call-arg]
