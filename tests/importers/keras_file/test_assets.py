"""Vocabularies that layers learned, in archives as Keras writes them with TensorFlow."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kir.errors import FormatError
from kir.importers.keras_file import load_keras_model
from kir.support.naming import snake_case
from tests.importers.keras_file import hostile

WORDS = np.array([["b", "zebra", ""]], object)


def archive(
    path: Path,
    config: dict[str, Any],
    *,
    weights: Any = None,
    kind: str = "StringLookup",
    inside: str = "",
    length: int = 3,
    **assets: bytes,
) -> Path:
    """Return a `.keras` file of an input of texts and a layer with a vocabulary, which one `inside` may hold."""
    given = hostile.layer("InputLayer", "x", {"batch_shape": [None, length], "dtype": "string"})
    lookup = hostile.layer(kind, "d", config, hostile.tensor("x"))
    file = io.BytesIO()
    group = f"{snake_case(kind)}{inside}"
    with h5py.File(file, "w") as opened:
        opened.create_group(f"layers/{group}/vars")
        if weights is not None:
            opened[f"layers/{group}/vars/idf_weights"] = weights
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("metadata.json", json.dumps(hostile.KERAS_3))
        written.writestr("config.json", json.dumps(hostile.model(given, lookup)))
        written.writestr("model.weights.h5", file.getvalue())
        for name, content in assets.items():
            written.writestr(f"assets/layers/{name}{inside}/vocabulary.txt", content)
    return path


def test_a_learned_vocabulary_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", {"vocabulary_size": 4}, string_lookup=b"[UNK]\nzebra\na\nb")
    assert load_keras_model(path).predict(WORDS).tolist() == [[3, 1, 0]]


def test_a_mask_is_the_empty_first_line(tmp_path: Path) -> None:
    config = {"vocabulary_size": 4, "mask_token": ""}
    path = archive(tmp_path / "m.keras", config, string_lookup=b"\n[UNK]\nzebra\nb")
    assert load_keras_model(path).predict(WORDS).tolist() == [[3, 2, 0]]


def test_learned_weights_are_read(tmp_path: Path) -> None:
    config = {"vocabulary_size": 3, "output_mode": "tf_idf", "max_tokens": 4, "pad_to_max_tokens": True}
    path = archive(
        tmp_path / "m.keras", config, weights=np.array([2, 3, 5, 0], np.float32), string_lookup=b"[UNK]\nzebra\nb"
    )
    assert load_keras_model(path).predict(WORDS).tolist() == [[2, 3, 5, 0]]


@pytest.mark.parametrize(
    ("config", "content", "wanted"),
    [
        ({"vocabulary_size": 4}, b"\n[UNK]\nzebra\nb", [[2, 1, 3]]),
        ({"vocabulary_size": 3, "output_mode": "tf_idf"}, b"[UNK]\nzebra\nb", [[2, 3, 5]]),
    ],
)
def test_a_vectorization_of_texts_has_that_of_the_lookup_inside(
    config: dict[str, Any], content: bytes, wanted: Any, tmp_path: Path
) -> None:
    path = archive(
        tmp_path / "m.keras",
        config,
        weights=np.array([2, 3, 5], np.float32),
        kind="TextVectorization",
        inside="/_lookup_layer",
        length=1,
        text_vectorization=content,
    )
    assert load_keras_model(path).predict(np.array([["Zebra, a b!"]], object)).tolist() == wanted
    load_keras_model(path).save(tmp_path / "saved.keras")
    again = load_keras_model(tmp_path / "saved.keras")
    assert again.predict(np.array([["Zebra, a b!"]], object)).tolist() == wanted


def test_stored_weights_replace_those_of_the_config(tmp_path: Path) -> None:
    config = {
        "vocabulary": ["zebra", "b"],
        "idf_weights": [0.5, 0.25],
        "output_mode": "tf_idf",
        "max_tokens": 4,
        "pad_to_max_tokens": True,
    }
    stored = np.array([2, 3, 5, 7], np.float32)
    model = load_keras_model(archive(tmp_path / "m.keras", config, weights=stored))
    assert model.predict(WORDS).tolist() == [[2, 3, 5, 0]]
    model.save(tmp_path / "saved.keras")
    assert load_keras_model(tmp_path / "saved.keras").predict(WORDS).tolist() == [[2, 3, 5, 0]]
    with zipfile.ZipFile(tmp_path / "saved.keras") as saved:
        weights = io.BytesIO(saved.read("model.weights.h5"))
    with h5py.File(weights) as file:
        assert file["layers/string_lookup/vars/idf_weights"][()].tolist() == [2, 3, 5, 0]
    with pytest.raises(FormatError, match=r"idf_weights of layer d .* has shape \(3,\), the model's \(4,\)"):
        load_keras_model(archive(tmp_path / "m.keras", config, weights=stored[:3]))


@pytest.mark.parametrize(
    ("config", "content", "message"),
    [
        ({}, b"a\na", "each once"),
        ({}, b"\xff\xfe", "decode"),
        ({}, b"", "must have tokens"),
        ({"output_mode": "tf_idf"}, b"a\nb", "no idf_weights for its 2 tokens"),
    ],
)
def test_vocabularies_that_are_none(tmp_path: Path, config: dict[str, Any], content: bytes, message: str) -> None:
    path = archive(tmp_path / "m.keras", {"vocabulary_size": 3, **config}, string_lookup=content)
    with pytest.raises(FormatError, match=f"the vocabulary of layer d: .*{message}"):
        load_keras_model(path)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"the vocabulary of layer d: .*has no assets/layers/string_lookup"):
        load_keras_model(archive(tmp_path / "m.keras", {"vocabulary_size": 3}))
