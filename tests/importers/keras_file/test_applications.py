"""The networks of keras.applications, as files that Keras wrote: the same numbers, and no more nodes than there were.

All have the channels behind, where ONNX wants them in front, and one Transpose, at the input. ConvNeXt's
LayerNormalizations are formulas for it, of six nodes each.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import passes
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.importers.keras_file import load_keras_model
from kir.modeling.lower import lower

# The size of the images, as small as the network takes them; how many Transposes and nodes its file has.
NETWORKS = {
    "ConvNeXtTiny": (32, 1, 233),
    "DenseNet121": (32, 1, 369),
    "EfficientNetB0": (32, 1, 242),
    "InceptionResNetV2": (75, 1, 579),
    "InceptionV3": (75, 1, 220),
    "MobileNetV2": (32, 1, 101),
    "MobileNetV3Large": (32, 1, 144),
    "MobileNetV3Small": (32, 1, 126),
    "NASNetMobile": (32, 1, 636),
    "ResNet50V2": (32, 1, 144),
    "VGG16": (32, 1, 39),
    "Xception": (71, 1, 129),
}


def build(name: str) -> Any:
    """Return the network with random weights, among them those that Keras draws as all zeros or ones."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    size = NETWORKS[name][0]
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name.endswith(("gamma", "variance")):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.name.endswith(("beta", "bias", "mean")):
            weight.assign(random.normal(scale=0.1, size=weight.shape))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_application(name: str, tmp_path: Path) -> None:
    size, transposes, nodes = NETWORKS[name]
    reference = build(name)
    path = tmp_path / f"{name}.keras"
    reference.save(path)
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype(np.float32)
    expected = np.asarray(reference(images))

    graph = lower(load_keras_model(path))
    passes.run(graph, passes.pipeline(), check=True)
    proto = to_model_proto(graph)

    (output,) = run_session(make_session(proto.SerializeToString()), {proto.graph.input[0].name: images}).values()
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=2e-6 * expected.max())
    counts = Counter(node.op_type for node in proto.graph.node)
    assert counts["Transpose"] <= transposes, counts
    assert len(proto.graph.node) <= nodes, counts
