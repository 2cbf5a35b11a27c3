"""Random numbers in models and scripts: drawn by scripts, and refused where an output depends on them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kir.errors import UnsupportedError
from kir.exporters.pipeline import export_model
from kir.importers import keras_random
from kir.importers.cutting import cut_model
from kir.importers.keras_names import NAMESPACES
from kir.importers.script import load_script
from tests.importers.test_keras_stand_in import assert_exports, write

HEAD = "import numpy as np\nimport keras\nfrom keras import Model, layers, ops\n"

DRAWS = {
    "beta": "beta((2, 3), 1.0, 2.0)",
    "binomial": "binomial((2, 3), 4, 0.5)",
    "categorical": "categorical(np.zeros((2, 5), 'float32'), 3)",
    "dropout": "dropout(np.ones((2, 3), 'float32'), 0.5)",
    "gamma": "gamma((2, 3), 2.0)",
    "normal": "normal((2, 3), mean=1.0, stddev=2.0, seed=keras.random.SeedGenerator(1))",
    "randint": "randint((2, 3), 0, 9)",
    "shuffle": "shuffle(np.zeros((2, 3), 'float32'))",
    "truncated_normal": "truncated_normal((2, 3))",
    "uniform": "uniform((2, 3), dtype='float16')",
}


@pytest.mark.parametrize("name", keras_random.FUNCTIONS)
def test_a_script_may_draw(name: str) -> None:
    drawn = eval(f"keras.random.{DRAWS[name]}", {"keras": keras, "np": np})
    kir = SimpleNamespace(random=SimpleNamespace(**NAMESPACES["random"]))
    ours = eval(f"keras.random.{DRAWS[name]}", {"keras": kir, "np": np})
    assert (ours.shape, ours.dtype) == (drawn.shape, np.asarray(drawn).dtype)


@pytest.mark.parametrize("shape", ["ops.shape(x)", "(1, 3)"])
def test_numbers_that_keras_would_draw_are_no_constants(shape: str, tmp_path: Path) -> None:
    text = f"""
class Noisy(Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        noise = keras.random.normal({shape}, seed=3)
        return self.dense(x), x + noise

model = Noisy()
model(np.zeros((2, 3), "float32"))
"""
    model = load_script(write(tmp_path, HEAD + text))
    with pytest.raises(UnsupportedError, match=r"keras\.random\.normal in layer noisy.*: it draws other numbers"):
        export_model(model, tmp_path / "model.onnx")
    assert_exports(cut_model(model, ["dense"]), tmp_path)
