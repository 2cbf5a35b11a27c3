"""How long a cold export of a small `.keras` file takes, verification included, against Keras's own exporter.

Run with `python -m tests.benchmarks.cold_start [PYTHON]`, where PYTHON is an interpreter that has keras, torch, onnx,
onnxscript and onnxruntime (this one by default). Both exporters are started as new processes, in turns, and the
medians are compared. Keras's does not verify.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TURNS = 5
ROOT = Path(__file__).parents[2]
BUILD = """
import keras
from keras import layers
keras.Sequential([
    keras.Input((28, 28)), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.2),
    layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax"),
]).save("model.keras")
"""
EXPORT_WITH_KERAS = """
import keras, numpy
model = keras.models.load_model("model.keras")
model(numpy.zeros((1, 28, 28), "float32"))  # Keras refuses a loaded Sequential that was never called
model.export("keras.onnx", format="onnx", verbose=False)
"""


def seconds(command: list[str], folder: str, **environment: str) -> float:
    """The wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    return time.perf_counter() - start


def main() -> None:
    other = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    export = [sys.executable, "-m", "kir.cli", "export", "model.keras", "-o", "kir.onnx"]
    with tempfile.TemporaryDirectory() as folder:
        seconds([other, "-c", BUILD], folder, KERAS_BACKEND="torch")
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(seconds(export, folder, PYTHONPATH=str(ROOT)))
            theirs.append(seconds([other, "-c", EXPORT_WITH_KERAS], folder, KERAS_BACKEND="torch"))
    kir, keras = statistics.median(ours), statistics.median(theirs)
    print(f"kir, load + export + verify   {kir:6.2f} s")
    print(f"keras with torch, load + export {keras:4.2f} s, {keras / kir:.1f} times as long")


if __name__ == "__main__":
    main()
