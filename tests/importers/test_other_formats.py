"""Models in formats that kir does not read: each error says what it is, and how to save it anew."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kir
from kir import layers
from kir.errors import FormatError
from kir.modeling.sequential import Sequential


def folder(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return make


def content(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


def archive(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, b"x")

    return make


OTHERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "saved": (
        folder("saved_model.pb", "keras_metadata.pb"),
        r"a SavedModel, .*load_model\('.*saved'\).save\('model.h5'\)",
    ),
    "saved.keras": (folder("saved_model.pb"), "is a SavedModel"),
    "saved.h5": (folder("saved_model.pb"), "is a SavedModel"),
    "unpacked": (
        folder("config.json", "model.weights.h5"),
        "the content of a .keras file, unpacked; pack it again: cd .*unpacked",
    ),
    "training": (folder("checkpoint", "cp.index"), "is a checkpoint of TensorFlow"),
    "empty": (folder(), "cannot read .*empty; expected a script"),
    "saved_model.pb": (content(b"\x08\x01"), "is a part of a SavedModel"),
    "frozen.pb": (content(b"\x08\x01"), r"tf2onnx.convert --graphdef .*frozen.pb"),
    "cp.index": (content(b"x"), "weights without a model"),
    "cp.data-00000-of-00001": (content(b"x"), "weights without a model"),
    "m.tflite": (content(b"\x1c\0\0\0TFL3" + b"x" * 20), r"tf2onnx.convert --tflite .*m.tflite"),
    "renamed.h5": (content(b"\x1c\0\0\0TFL3" + b"x" * 20), "is a file of LiteRT"),
    "m.zip": (archive("deep/saved_model.pb"), "zip file of deep/saved_model.pb; unpack it. That is a SavedModel"),
    "other.keras": (archive("a.txt", "b.txt"), "a zip file that holds no model of Keras, but a.txt, b.txt"),
    "m.pt": (archive("m/data.pkl", "m/version"), "is a file of PyTorch"),
    "old.pth": (content(b"\x80\x02x"), "is a file of PyTorch"),
    "m.pkl": (content(b"\x80\x04x"), "is a pickle, which runs code when it is read"),
    "m.h5": (content(b"\x80\x04x"), "is a pickle, which runs code when it is read"),
    "m.xyz": (content(b"hello"), "cannot read .*m.xyz; expected a script"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_it_is_and_how_to_save_it_anew(name: str, tmp_path: Path) -> None:
    make, message = OTHERS[name]
    make(tmp_path / name)
    with pytest.raises(FormatError, match=message):
        kir.load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".keras"])
def test_a_file_of_keras_is_read_by_what_it_holds(suffix: str, tmp_path: Path) -> None:
    """Keras 2 wrote HDF5 under the name model.keras, and people rename archives."""
    model = Sequential([layers.Input((3,)), layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    renamed = (tmp_path / "m.keras").rename(tmp_path / f"other{suffix}")
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(kir.load(renamed).predict(x), model.predict(x))  # type: ignore[union-attr]


def test_hdf5_by_the_name_of_an_archive(tmp_path: Path) -> None:
    source = Path(__file__).parent / "keras_file" / "files_of_keras2" / "batch_normalization_axes.h5"
    (tmp_path / "m.keras").write_bytes(source.read_bytes())
    assert len(kir.load(tmp_path / "m.keras").outputs) == 3
