"""Errors of models that a script builds beside the one that is exported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kir import Input, layers
from kir.errors import KirError
from kir.importers.script import load_script
from tests.importers.test_keras_stand_in import assert_exports, write

SCRIPT = """
import numpy as np
import keras
from keras import layers, ops

class Branch(layers.Layer):
    def call(self, x):
        return x if ops.mean(x) > 0 else -x

x = keras.Input((6,))
hidden = Branch(name="branch")(layers.Dense(4)(x))
encoder = keras.Model(x, layers.Dense(2)(ops.exp(-hidden + 1)[:, :2]), name="encoder")
encoder.summary()
encoder.trainable = False
code = keras.Input((2,))
decoder = keras.Model(code, layers.Dense(6)(code), name="decoder")
whole = keras.Model(x, decoder(encoder(x)), name="whole")
whole.compile("adam", "mse")
whole.fit(np.zeros((2, 6)), np.zeros((2, 6)))
images = whole.predict(np.zeros((2, 6)))
chain = keras.Sequential([keras.Input((6,)), layers.Dense(4), Branch(name="branch"), layers.Dense(2)])
around = keras.Sequential([keras.Input((6,)), chain])
chain.summary()
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "keras", None)
    return write(tmp_path, SCRIPT)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_layer_that_fails_stops_only_what_needs_it(script: Path, tmp_path: Path) -> None:
    assert_exports(load_script(script, "decoder"), tmp_path)
    for name in ("encoder", "whole", "chain", "around"):
        with pytest.raises(KirError, match=r"layer branch \(Branch\): a branch on a symbolic value") as caught:
            load_script(script, name)
        assert f"at {script}:8" in caught.value.__notes__


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("use", ["hidden.shape", "a, b = hidden", "encoder.output", "chain.pop()", "chain.outputs"])
def test_what_asks_for_the_result_is_told(use: str, script: Path) -> None:
    write(script.parent, f"{SCRIPT}{use}\n")
    with pytest.raises(KirError, match="branch on a symbolic value"):
        load_script(script, "decoder")


def test_outside_of_scripts_the_call_itself_fails() -> None:
    class Branch(layers.Layer):
        def call(self, x: object) -> object:
            return x if x else None

    with pytest.raises(KirError, match="branch on a symbolic value"):
        Branch()(Input((3,)))
