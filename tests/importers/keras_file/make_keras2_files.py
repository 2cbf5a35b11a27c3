"""Writes keras2.tar.xz: the models of keras2_models.py as files of tf_keras, with inputs and the outputs it computes.

    pip install tf_keras && python tests/importers/keras_file/make_keras2_files.py

test_keras2.py reads the archive, without TensorFlow. It holds, for each model, NAME.h5, NAME.keras and NAME.npz (arrays
`in/INPUT` and `out/I`), and index.json: the version of tf_keras, all classes of its layers, and those of each model.
"""

from __future__ import annotations

import inspect
import io
import json
import lzma
import os
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
import tf_keras as keras
from keras2_models import MODELS, STAND_INS  # type: ignore[import-not-found]

tf.get_logger().setLevel("ERROR")

TARGET = Path(__file__).with_name("keras2.tar.xz")
FORMATS = ("h5", "keras")
TOKENS = np.array(["a", "b", "c", "d", ""], object)
# What a zip file can say at the earliest, in place of now.
EPOCH = (1980, 1, 1, 0, 0, 0)


def main(target: Path) -> None:
    members: dict[str, bytes] = {}
    models: dict[str, Any] = {}
    for number, (name, build) in enumerate(MODELS.items()):
        print(f"{number + 1}/{len(MODELS)} {name}", file=sys.stderr)
        keras.backend.clear_session()
        keras.utils.set_random_seed(number)
        model = build()
        random = np.random.default_rng(number)
        randomize(model, random)
        feeds = make_feeds(model, random)
        formats = {ending: saved(model, ending) for ending in FORMATS}
        running = stand_in(STAND_INS[name](), formats["h5"]) if name in STAND_INS else model
        outputs = tf.nest.flatten(
            running(feeds if isinstance(model.input, dict) else list(feeds.values()), training=False)
        )
        arrays = {f"in/{key}": value for key, value in feeds.items()}
        arrays |= {f"out/{index}": value.numpy() for index, value in enumerate(outputs)}
        members[f"{name}.npz"] = packed(arrays)
        members |= {f"{name}.{ending}": content for ending, content in formats.items() if content is not None}
        models[name] = {
            "classes": sorted({type(layer).__name__ for layer in layers_inside(model)}),
            "formats": [ending for ending, content in formats.items() if content is not None],
        }
    index = {"tf_keras": keras.__version__, "classes": public_classes(), "models": models}
    members["index.json"] = json.dumps(index, indent=1).encode()
    with lzma.open(target, "wb", preset=9) as file, tarfile.open(fileobj=file, mode="w") as archive:
        # Files of one kind behind each other pack best.
        for member in sorted(members, key=lambda name: (name.rpartition(".")[2], name)):
            info = tarfile.TarInfo(member)
            info.size = len(members[member])
            archive.addfile(info, io.BytesIO(members[member]))


def public_classes() -> dict[str, str]:
    """Return the layers of tf_keras by every public name, with the names of their classes."""
    modules = [keras.layers, keras.layers.experimental, keras.layers.experimental.preprocessing]
    modules.append(tf.compat.v1.keras.layers)
    found = {
        name: cls.__name__
        for module in modules
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, keras.layers.Layer)
    }
    return dict(sorted(found.items()))


def stand_in(model: Any, content: bytes | None) -> Any:
    """Return the model, with the weights of a `.h5` file of another one."""
    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        file.write(content or b"")
        file.flush()
        model.load_weights(file.name)
    return model


def layers_inside(model: Any) -> Iterator[Any]:
    pending = [model]
    while pending:
        layer = pending.pop()
        yield layer
        pending.extend(layer._flatten_layers(recursive=False, include_self=False))


def randomize(model: Any, random: np.random.Generator) -> None:
    """Set the weights that are floats: to numbers around 0, those of variances to positive ones."""
    adapted = {id(weight) for layer in model.layers if hasattr(layer, "adapt") for weight in layer.weights}
    for weight in model.weights:
        if id(weight) in adapted:
            continue
        # Vocabularies are among the weights, and what counts is no number to compute with.
        if isinstance(weight, tf.Variable) and weight.dtype.is_floating and weight.shape.is_fully_defined():
            values = random.normal(size=weight.shape) * 0.5
            values = np.abs(values) + 0.5 if "variance" in weight.name else values
            weight.assign(values.astype(weight.dtype.as_numpy_dtype))


def make_feeds(model: Any, random: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
    """Return random inputs by their names; some steps of each sequence are all zero, others in each."""
    feeds = {}
    given = model.input
    for number, tensor in enumerate(given.values() if isinstance(given, dict) else tf.nest.flatten(given)):
        shape = [{0: 2}.get(axis, 5) if size is None else size for axis, size in enumerate(tensor.shape)]
        kind = tensor.dtype
        if kind == tf.string:
            values = random.choice(TOKENS, shape)
        elif kind == tf.bool:
            values = random.random(shape) < 0.7
        elif kind.is_integer:
            values = random.integers(0, 256 if kind == tf.uint8 else 4, shape)
        elif takes_indices(model):
            values = random.integers(0, 4, shape)
        else:
            values = np.round(random.normal(size=shape) * 2, 3)
            values[0].flat[:1] = 0.5
            if len(shape) == 3 and shape[1] > 1:
                values[:, (1 + number) % shape[1]] = 0
                values[1, number % shape[1] :] = 0
        feeds[tensor.name.split(":")[0]] = values if kind == tf.string else values.astype(kind.as_numpy_dtype)
    return feeds


def takes_indices(model: Any) -> bool:
    return any(isinstance(layer, keras.layers.Embedding | keras.layers.CategoryEncoding) for layer in model.layers)


def saved(model: Any, ending: str) -> bytes | None:
    """Return the file; None where tf_keras cannot save the model so."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"model.{ending}"
        try:
            model.save(path, include_optimizer=False) if ending == "h5" else model.save(path)
        except (NotImplementedError, TypeError, ValueError) as error:
            print(f"  not saved as {ending}: {error}", file=sys.stderr)
            return None
        return undated(path.read_bytes()) if ending == "keras" else path.read_bytes()


def undated(archive: bytes) -> bytes:
    """Return a `.keras` file without the times that are in it."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
            new.writestr(zipfile.ZipInfo(name, EPOCH), content)
    return result.getvalue()


def packed(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Return a `.npz` file, texts as NumPy's own."""
    texts: dict[str, Any] = {
        key: value.astype(str) if value.dtype.kind == "O" else value for key, value in arrays.items()
    }
    result = io.BytesIO()
    np.savez(result, **texts)
    return undated(result.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
