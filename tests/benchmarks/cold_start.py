"""What a cold start costs: `kir --help`, and the export of a small `.keras` file, beside what they cannot do without.

Run with `python -m tests.benchmarks.cold_start [PYTHON]`. All commands start as new processes, in turns, with their
bytecode cached, and the least processor time of each counts: a shared machine makes everything slower, and nothing
faster. The measure of an export is the import of the libraries that it uses.

PYTHON is an interpreter that has keras, torch, onnx, onnxscript and onnxruntime. If one is given, the verified export
is compared with that of Keras itself, which does not verify, by the median of wall times.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TURNS = 15
TURNS_WITH_KERAS = 5
ROOT = Path(__file__).parents[2]
LIBRARIES = "import numpy, onnx, networkx, h5py, click"
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


def kir(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kir", *arguments]


EXPORT = kir("export", "model.keras", "-o", "kir.onnx")
COMMANDS = {
    "python": [sys.executable, "-c", ""],
    "kir --help": kir("--help"),
    "the libraries": [sys.executable, "-c", LIBRARIES],
    "kir export --no-verify": [*EXPORT, "--no-verify"],
}


def processor_seconds(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    """Return the processor time of a command that must succeed, its children included."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    assert process.stderr is not None
    assert os.waitstatus_to_exitcode(status) == 0, process.stderr.read().decode()
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def wall_seconds(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    """Return the wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def measure_start(folder: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Return the least processor time of each command, after one turn that writes the bytecode."""
    turns = [
        {name: processor_seconds(command, folder, environment) for name, command in COMMANDS.items()}
        for _ in range(TURNS + 1)
    ]
    return {name: min(turn[name] for turn in turns[1:]) for name in COMMANDS}


def compare_with_keras(python: str, folder: str, environment: Mapping[str, str]) -> None:
    turns = [
        (
            wall_seconds(EXPORT, folder, environment),
            wall_seconds([python, "-c", EXPORT_WITH_KERAS], folder, {**os.environ, "KERAS_BACKEND": "torch"}),
        )
        for _ in range(TURNS_WITH_KERAS)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*turns, strict=True))
    print(f"kir, load + export + verify   {ours:6.2f} s")
    print(f"keras with torch, load + export {theirs:4.2f} s, {theirs / ours:.1f} times as long")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode"))}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        backend = "torch" if len(sys.argv) > 1 else "numpy"
        build = [(sys.argv[1:] or [sys.executable])[0], "-c", BUILD]
        subprocess.run(build, cwd=folder, env={**environment, "KERAS_BACKEND": backend}, check=True)
        times = measure_start(folder, environment)
        for name, seconds in times.items():
            print(f"{name:<24} {seconds:.3f} s")
        print(f"help    {times['kir --help'] / times['python']:.1f} times python")
        print(f"export  {times['kir export --no-verify'] / times['the libraries']:.2f} times the libraries")
        if len(sys.argv) > 1:
            compare_with_keras(sys.argv[1], folder, environment)


if __name__ == "__main__":
    main()
