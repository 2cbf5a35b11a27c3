"""Names of layers inside those of the user's own, in exported files, tables of layers and `--outputs`."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from kir.exporters.pipeline import export_model
from kir.importers.cutting import cut_model
from kir.importers.script import load_script
from kir.modeling.model import Model
from kir.modeling.summary import summarize
from tests.importers.test_keras_stand_in import write

HEAD = """
import numpy as np
import keras
from keras import Model, layers, ops
"""


def names_in(model: Model, folder: Path) -> list[list[str]]:
    """Return the names of the nodes and of the weights in the exported file."""
    export_model(model, folder / "model.onnx")
    graph = onnx.load(folder / "model.onnx").graph
    return [[node.name for node in graph.node], [one.name for one in graph.initializer]]


PATHS = """
class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.conv = layers.Dense(4)
        self.norm = layers.LayerNormalization(name="given")

    def call(self, x):
        return layers.add([self.norm(self.conv(x)), x])

class Encoder(layers.Layer):
    def __init__(self):
        super().__init__()
        self.blocks = [Block() for _ in range(3)]
        self.sizes = {"a": layers.Dense(4, "relu"), "b": [layers.Dense(4, "relu")]}
        self.chain = keras.Sequential([layers.Dense(4), layers.ReLU(), layers.Dense(4, "relu", name="last")])
        self.again = self.blocks[0]
        self.late = None

    def build(self, shape):
        self.late = layers.Dense(4, "relu")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.late(self.again(self.chain(self.sizes["b"][0](self.sizes["a"](x)))))

class Net(Model):
    def __init__(self):
        super().__init__(name="net")
        self.shared = Encoder()
        self.encoder = [self.shared, layers.Dense(2)]

    def call(self, x):
        return self.encoder[1](self.encoder[0](x))

unused = layers.Dense(3)
model = Net()
model(np.zeros((2, 4), "float32"))
"""


@pytest.mark.parametrize("is_live", [False, True])
def test_attribute_paths(is_live: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_live:
        monkeypatch.setitem(sys.modules, "keras", None)
    path = write(tmp_path, HEAD + PATHS)
    nodes, weights = names_in(load_script(path), tmp_path)
    assert [name.removesuffix("/kernel") for name in weights if name.endswith("/kernel")] == [
        "net/shared/blocks/0/conv",
        "net/shared/blocks/1/conv",
        "net/shared/blocks/2/conv",
        "net/shared/sizes/a",
        "net/shared/sizes/b/0",
        "net/shared/chain/dense",
        "net/shared/chain/last",
        "net/shared/late",
        "net/encoder/1",
    ]
    assert "net/shared/blocks/2/norm/gamma" in weights
    assert len(set(nodes)) == len(nodes)
    assert "net/shared/blocks/1/add/Add" in nodes
    for name in ("shared.blocks.2.conv", "net/shared/blocks/2/conv", "shared/chain/dense"):
        cut = cut_model(load_script(path), [name])
        assert cut.output_shape == (None, 4)
    rows = {row.path for row in summarize(load_script(path)).rows}
    # A live layer knows what is inside it when it is traced.
    assert "net" in rows
    assert is_live or {"net/shared/blocks/2/conv", "net/shared/chain/dense"} <= rows
