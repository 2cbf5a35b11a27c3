"""Models with layers of other packages than keras_hub, in an environment that has them.

hub/bin/pip install --no-deps keras-tcn keras-rs keras_efficient_kan kimm medicai
KERAS_BACKEND=numpy hub/bin/python -m pytest tests/packages
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kir
from tests.packages.inputs import inputs_of
from tests.packages.other_models import MODELS


@pytest.mark.slow
@pytest.mark.parametrize(("package", "name"), MODELS)
def test_a_model_of_a_package_computes_what_keras_does(package: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    import keras
    import onnxruntime as ort

    reference = MODELS[package, name]()
    path = tmp_path / "model.onnx"
    kir.export(reference, path)
    session = ort.InferenceSession(path)
    feeds = inputs_of(reference)
    results = session.run(None, {one.name: feeds[one.name] for one in session.get_inputs()})
    expected = reference(keras.tree.map_structure(lambda x: feeds[x._keras_history.operation.name], reference.input))
    for result, wanted in zip(results, keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(result, np.asarray(wanted), rtol=1e-4, atol=1e-5)
