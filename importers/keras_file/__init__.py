"""Reading what Keras writes, without Keras and without running anything found in a file.

file ── archive, hdf5 ──> description (document) ── config ──> Model ── weights ──> Model
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kir import config as settings
from kir.errors import FormatError, KirError
from kir.importers.bounded_json import parse
from kir.importers.cutting import cut_model
from kir.importers.keras_file.archive import EXPECTED, HDF5_MAGIC, ZIP_MAGIC, Archive, open_file
from kir.importers.keras_file.assets import load_vocabularies
from kir.importers.keras_file.config import build_model
from kir.importers.keras_file.descriptions import FileOrigin
from kir.importers.keras_file.hdf5 import open_hdf5
from kir.importers.keras_file.keras1 import in_words_of_keras_2, is_of_keras_1
from kir.importers.keras_file.unused import STAND_INS, without_unused
from kir.importers.keras_file.weights import load_legacy_weights, load_weights, load_weights_section
from kir.importers.sections import whole_file
from kir.ir.graph import Provenance
from kir.modeling.divisible_sizes import build_fitting
from kir.modeling.model import Model
from kir.modeling.weight_names import CONFIG, METADATA, WEIGHTS
from kir.support.limits import MAX_CONFIG_BYTES, MAX_ELEMENTS
from kir.support.regular_files import read_regular

SUFFIXES = (".keras", ".h5", ".hdf5", ".json")
MODEL_WEIGHTS = "model_weights"


def load_keras_model(
    path: Path,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    on_lost_mask: str = "warn",
    outputs: Sequence[str] = (),
) -> Model:
    """Return the model in a file that Keras wrote; nothing in it is executed.

    Args:
        path: a `.keras` file, a whole model as `.h5` or `.hdf5` (Keras 1, 2 or 3), or a `.json` of a model's config.
        custom_objects: the user's own functions and layers (subclasses of `kir.layers.Layer`) by their names; a
            Lambda's function also by the name of its layer.
        weights: a file of weights to use instead of those in the model's file; needed for a `.json`.
        on_lost_mask: what happens when a mask reaches a layer that cannot carry it: as in Keras 3, "warn" unless given.
        outputs: the names of layers whose outputs are to be those of the model. Layers that these do not depend on need
            not be supported.

    Raises:
        InvalidArgumentError: there is no layer of a name among `outputs`, or it is called more than once.
        UnsupportedError: the model has layers that kir lacks; all of them are listed.
        FormatError: the file is damaged, or is none of these, or its weights do not fit its layers.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise FormatError(f"cannot read a model from {path}: expected a name ending in {', '.join(SUFFIXES)}")
    read = _read_config if path.suffix == ".json" else _reader_of(path)
    with settings.lost_masks(on_lost_mask):
        given = {**(custom_objects or {}), **STAND_INS} if outputs else custom_objects or {}
        model = build_fitting(lambda: read(path, Request(given, weights, outputs)))
    return cut_model(model, outputs) if outputs else model


@dataclass(frozen=True)
class Request:
    """The arguments of `load_keras_model`."""

    custom_objects: Mapping[str, Any]
    weights: Path | None
    outputs: Sequence[str]

    def build(self, path: Path, description: object, metadata: object) -> Model:
        """Return the model of a description, with the metadata that was beside it."""
        origin = _origin(path, description, metadata, self.custom_objects)
        description = _in_known_words(description, origin)
        model = build_model(without_unused(description, self.outputs) if self.outputs else description, origin)
        model.require_inputs()
        model.loaded_from = Provenance("keras file", f"Keras {origin.version}", path)
        return model


def model_from_config(description: object, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Return the model that `keras.Model.to_json` describes, with weights that its initializers draw.

    Raises:
        UnsupportedError, FormatError: as for `load_keras_model`.
    """
    where = Path("the config")
    with settings.lost_masks("warn"):
        origin = _origin(where, description, description, custom_objects or {})
        return build_model(_in_known_words(description, origin), origin)


def _reader_of(path: Path) -> Callable[[Path, Request], Model]:
    """Return what reads a file, by its first bytes: Keras 2 wrote HDF5 whatever the name said.

    Raises:
        FormatError: it is neither, but something else that is known.
    """
    with open_file(path) as file:
        head = file.read(len(HDF5_MAGIC))
    if head == HDF5_MAGIC:
        return _read_hdf5
    if head.startswith(ZIP_MAGIC):
        return _read_archive
    _refuse_others(path)
    return _read_archive if path.suffix == ".keras" else _read_hdf5


def _refuse_others(path: Path) -> None:
    """Raise FormatError for something else that is known."""
    from kir.importers.other_formats import what_else  # start-up time: only errors need it

    other = what_else(path)
    if other is not None:
        raise FormatError(other)


def _read_archive(path: Path, request: Request) -> Model:
    with open_file(path) as file:
        archive = Archive(file, path)
        if CONFIG not in archive:
            _refuse_others(path)
        description = parse(archive.text(CONFIG), f"{path}: {CONFIG}")
        metadata = parse(archive.text(METADATA), f"{path}: {METADATA}") if METADATA in archive else {}
        model = request.build(path, description, metadata)
        if request.weights is None:
            with archive.section(WEIGHTS) as section:
                load_weights_section(model, section)
        load_vocabularies(model, archive)
    return _with_weights(model, request.weights)


def _read_hdf5(path: Path, request: Request) -> Model:
    with open_file(path) as file, open_hdf5(whole_file(file, path)) as opened:
        text = opened.text(opened.root, "model_config")
        if text is None:
            raise FormatError(
                f"{path} holds weights only, as save_weights writes them; export the model's script, or its "
                f"config.json (model.to_json), with --weights {path}"
            )
        description = parse(text, f"{path}: model_config")
        version = {"keras_version": opened.text(opened.root, "keras_version")}
        model = request.build(path, description, version)
        if request.weights is None:
            load_legacy_weights(model, opened, opened.find(MODEL_WEIGHTS))
    return _with_weights(model, request.weights)


def _read_config(path: Path, request: Request) -> Model:
    description = parse(read_regular(path, EXPECTED, MAX_CONFIG_BYTES), str(path))
    model = request.build(path, description, description)
    if request.weights is None and model.weights:
        _require_drawable(model, path)
    return _with_weights(model, request.weights)


def _require_drawable(model: Model, path: Path) -> None:
    count = sum(weight.size for weight in model.weights)
    if count > MAX_ELEMENTS:
        raise FormatError(
            f"{path} describes a model of {count} weights, and holds none; random numbers are drawn for at most "
            f"{MAX_ELEMENTS}: give a file with --weights"
        )


def _origin(path: Path, description: object, metadata: object, custom_objects: Mapping[str, Any]) -> FileOrigin:
    """Return what a file says of itself; one that names no modules is not from Keras 3."""
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version[:1].isdigit():
        version = "3" if isinstance(description, dict) and "module" in description else "2"
        if version == "2" and is_of_keras_1(description):
            version = "1"
    return FileOrigin(path, version, custom_objects)


def _in_known_words(description: object, origin: FileOrigin) -> Any:
    """Return the description of a model in the words of Keras 2 or 3.

    Raises:
        UnsupportedError, FormatError: it is of Keras 1, and cannot be said so; see `in_words_of_keras_2`.
    """
    if not origin.version.startswith("1"):
        return description
    try:
        return in_words_of_keras_2(description, lambda name: _is_of_keras(name, origin))
    except KirError as error:
        raise type(error)(f"{origin.path}: {error}") from None


def _is_of_keras(name: str, origin: FileOrigin) -> bool:
    """Return whether a class of layers is one of Keras's own, and not of the user's."""
    return name not in origin.custom_objects and origin.layer(name) is not None


def _with_weights(model: Model, weights: Path | None) -> Model:
    if weights is not None:
        load_weights(model, weights)
    return model
