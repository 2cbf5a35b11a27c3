"""What people have models in that kir does not read: told by content, for messages that say how to save anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kir.errors import KirError
from kir.importers.keras_file.archive import ZIP_MAGIC, Archive
from kir.support.regular_files import open_regular

TFLITE_MAGIC = b"TFL3"
PICKLE_MAGIC = b"\x80"
# How a checkpoint of TensorFlow is named.
CHECKPOINT_ENDINGS = (".ckpt", ".index", ".meta", ".data-00000-of-00001")

SAVED_MODEL = (
    "a SavedModel, a graph of TensorFlow without layers. Where TensorFlow is installed, save the model of Keras that "
    "it holds: python -c \"import tensorflow as tf; tf.keras.models.load_model('{path}').save('model.h5')\" "
    "(TF_USE_LEGACY_KERAS=1 before it, with tf_keras, from TensorFlow 2.16 on), and export model.h5. If it holds no "
    "model of Keras: python -m tf2onnx.convert --saved-model {path} --output model.onnx, which kir reads"
)
FROZEN = (
    "a graph of TensorFlow without layers, which kir does not read; convert it where TensorFlow is installed: "
    "python -m tf2onnx.convert --graphdef {path} --output model.onnx, which kir reads"
)
CHECKPOINT = (
    "a checkpoint of TensorFlow, weights without a model. Where TensorFlow is installed, build the model in Keras, "
    "load them into it with model.load_weights, and save it: model.save('model.keras')"
)
TFLITE = (
    "a file of LiteRT (TensorFlow Lite), which kir does not read; export the model of Keras that it was converted "
    "from, or convert it: python -m tf2onnx.convert --tflite {path} --output model.onnx, which kir reads"
)
TORCH = (
    "a file of PyTorch, which is pickled: kir runs nothing that it finds in files. Load the model with PyTorch, and "
    "write it with torch.onnx.export, which kir reads"
)
PICKLE = (
    "a pickle, which runs code when it is read: kir runs nothing that it finds in files. Load the model where it was "
    "made, and save it: model.save('model.keras')"
)
UNPACKED = (
    "the content of a .keras file, unpacked; pack it again: cd {path} && python -m zipfile -c ../model.keras "
    "config.json metadata.json model.weights.h5"
)


def what_else(path: Path) -> str | None:
    """Return what a file or a folder is that kir does not read, and how to save the model anew; None if unknown."""
    try:
        found = _of_folder(path) if path.is_dir() else _of_file(path)
    except (OSError, KirError):
        return None
    return None if found is None else f"{path} is {found.format(path=path)}"


def _of_folder(path: Path) -> str | None:
    names = {entry.name for entry in path.iterdir()}
    if "saved_model.pb" in names or "saved_model.pbtxt" in names:
        return SAVED_MODEL
    if {"config.json", "model.weights.h5"} <= names:
        return UNPACKED
    is_checkpoint = "checkpoint" in names or any(name.endswith(".index") for name in names)
    return CHECKPOINT if is_checkpoint else None


def _of_file(path: Path) -> str | None:
    if path.name in ("saved_model.pb", "keras_metadata.pb"):
        return f"a part of {SAVED_MODEL.replace('{path}', str(path.parent))}"
    with open_regular(path, "a model") as file:
        head = file.read(16)
        if head.startswith(ZIP_MAGIC):
            return _of_archive(Archive(file, path).names)
    if head[4:8] == TFLITE_MAGIC or path.suffix == ".tflite":
        return TFLITE
    if path.suffix in (".pb", ".pbtxt"):
        return FROZEN
    if path.name.endswith(CHECKPOINT_ENDINGS) or path.name == "checkpoint":
        return CHECKPOINT
    if path.suffix in (".pt", ".pth"):
        return TORCH
    return PICKLE if head.startswith(PICKLE_MAGIC) and head[1:2] in b"\2\3\4\5" else None


def _of_archive(names: Iterable[str]) -> str | None:
    members = {name.rpartition("/")[2]: name for name in names}
    if "saved_model.pb" in members:
        return f"a zip file of {members['saved_model.pb']}; unpack it. That is {SAVED_MODEL}"
    if "data.pkl" in members:
        return TORCH
    if "config.json" in members or "model.weights.h5" in members:
        return None
    listed = ", ".join(list(members)[:4])
    return f"a zip file that holds no model of Keras, but {listed or 'nothing'}; give a file that model.save wrote"
