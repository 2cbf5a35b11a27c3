"""Models of keras_hub, in an environment that has it.

python -m venv hub && hub/bin/pip install -e '.[test]' keras-hub jax
KERAS_BACKEND=jax hub/bin/python -m pytest tests/packages
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kir

pytest.importorskip("keras_hub")

import keras
import onnxruntime as ort

from tests.packages.inputs import inputs_of
from tests.packages.keras_hub_models import MODELS


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_keras_hub_computes_what_keras_does(name: str, tmp_path: Path) -> None:
    reference = MODELS[name]()
    path = tmp_path / "model.onnx"
    kir.export(reference, path)
    session = ort.InferenceSession(path)
    feeds = inputs_of(reference)
    results = session.run(None, {one.name: feeds[one.name] for one in session.get_inputs()})
    expected = reference(keras.tree.map_structure(lambda x: feeds[x._keras_history.operation.name], reference.input))
    for result, wanted in zip(results, keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(result, np.asarray(wanted), rtol=1e-4, atol=1e-5)
