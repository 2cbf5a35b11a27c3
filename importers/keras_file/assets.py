"""The content of a `.keras` archive beside config and weights: vocabularies of layers that learned them from data."""

from __future__ import annotations

from kir.errors import FormatError, KirError
from kir.importers.keras_file.archive import Archive
from kir.importers.keras_file.hdf5 import open_hdf5
from kir.ir.op import Array
from kir.layers.categorical import IndexLookup
from kir.modeling.model import Model
from kir.modeling.weight_names import WEIGHTS, SavedLayer, saved_layers

VOCABULARY = "vocabulary.txt"


def load_vocabularies(model: Model, archive: Archive) -> None:
    """Give every lookup layer without a vocabulary the one that was saved for it.

    Raises:
        FormatError: it is missing, or the layer cannot have it.
    """
    for saved in saved_layers(model):
        layer = saved.layer
        if isinstance(layer, IndexLookup) and layer.vocabulary is None:
            name = f"assets/{saved.group}/{VOCABULARY}"
            try:
                tokens = _tokens(layer, archive.text(name).decode("utf-8"))
                layer.set_vocabulary(tokens, _idf_weights(saved, archive, len(tokens)))
            except (KirError, UnicodeDecodeError, ValueError) as error:
                raise FormatError(f"{archive.path}: the vocabulary of layer {saved.path}: {error}") from None


def _tokens(layer: IndexLookup, text: str) -> list[str] | list[int]:
    """Return the tokens as Keras reads them: one on each line, without empty ones at the end."""
    lines = text.splitlines()
    while lines and not lines[-1]:
        lines.pop()
    return [int(line) for line in lines] if layer.token_type is int else lines


def _idf_weights(saved: SavedLayer, archive: Archive, count: int) -> Array | None:
    if not isinstance(saved.layer, IndexLookup) or saved.layer.output_mode != "tf_idf":
        return None
    with archive.section(WEIGHTS) as section, open_hdf5(section) as file:
        dataset = file.find_dataset(f"{saved.group}/vars/idf_weights")
        if dataset is None or dataset.ndim != 1 or dataset.shape[0] < count:
            raise FormatError(f"there are no idf_weights for its {count} tokens")
        # After the tokens are zeros, up to max_tokens.
        return file.read(dataset)[:count]
