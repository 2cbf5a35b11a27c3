"""The models of keras.applications through kir and through other exporters: nodes, latency, right or wrong.

    python -m tests.benchmarks.applications [NAME …] [--size PIXELS] [--runs N] [--keep FOLDER]
        [--tf2onnx PYTHON] [--torch PYTHON] [--onnxslim PYTHON]

The others are `model.export(format="onnx")` of Keras with TensorFlow (which calls tf2onnx) and with torch, where that
fails torch's other exporter, and each of their files through onnxslim. They do not share an environment, so each may
have an interpreter of its own, from the option or else from the variable KIR_TF2ONNX_PYTHON, KIR_TORCH_PYTHON or
KIR_ONNXSLIM_PYTHON; without, it is this one. Those that are not installed there are left out.

Every model has random weights, and BatchNormalizations the statistics of random images, so that it shows whether they
are folded right. All exporters read the same `.keras` file; outputs are compared with those of Keras. Latencies are
those of the fastest runs of onnxruntime at batch 1, in processor time of its one thread: whatever else the machine does
makes runs slower only. All files run in turn, in another order each time, since each leaves its weights in the cache;
and each in two sessions, which tell how much a difference means.
With --keep, what Keras and the others wrote before is read again. Needs Keras with a backend that can convolve.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("KERAS_BACKEND", "numpy")
import numpy as np
import onnx
import onnxruntime as ort

from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.keras_file import load_keras_model
from tests.benchmarks.optimiser import count_nodes, make_options

NAMES = (
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50V2",
    "EfficientNetB0",
    "DenseNet121",
    "InceptionV3",
    "Xception",
    "NASNetMobile",
    "ConvNeXtTiny",
    "VGG16",
)
SIZE = 96  # pixels: all ten models accept it
RUNS = 24  # of each session of a file
SESSIONS = 3  # how often they are made
COPIES = 2
IMAGES = 4  # whose statistics BatchNormalizations have
MAX_TRANSPOSES = 2
TOLERANCE = 1e-4  # of the largest output

EXPORT_WITH_KERAS = """
import sys, keras
model = keras.models.load_model(sys.argv[1], compile=False)
image = keras.ops.zeros((1, *model.input_shape[1:]))
model(image)  # it refuses to export a model that was never called
try:
    model.export(sys.argv[2], format="onnx", verbose=False)
except Exception:
    if keras.backend.backend() != "torch":
        raise
    import torch  # its exporter that traces calls, which Keras does not use
    torch.onnx.export(model.eval(), (image,), sys.argv[2], dynamo=True, verbose=False)
"""

OPTIMISE_WITH_ONNXSLIM = """
import sys, onnxslim
onnxslim.slim(sys.argv[1], sys.argv[2])
"""


@dataclass(frozen=True)
class Peer:
    """Another exporter: the modules that it needs, and Keras's backend for it."""

    name: str
    backend: str
    modules: tuple[str, ...]


PEERS = (
    Peer("tf2onnx", "tensorflow", ("keras", "tensorflow", "tf2onnx")),
    Peer("torch", "torch", ("keras", "torch", "onnxscript")),
)


# Running the others


def is_installed(python: str, modules: Sequence[str]) -> bool:
    """Return whether an interpreter finds the modules, which are not imported."""
    code = "import sys, importlib.util\nsys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *modules], check=False).returncode == 0


def run_program(python: str, code: str, source: Path, target: Path, backend: str = "") -> str:
    """Run Python code in another interpreter, unless the target is there; what went wrong, or nothing."""
    if target.exists():
        return ""
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-c", code, str(source), str(target)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


# Models


def load_or_save_model(name: str, size: int, source: Path) -> Any:
    """Return the model that Keras saved in `source`; if there is none, it is built and saved there first."""
    import keras

    if not source.exists():
        build_model(name, size).save(source)
    return keras.models.load_model(source, compile=False)


def build_model(name: str, size: int) -> Any:
    """Return a model of keras.applications with random weights, also where Keras draws zeros or ones.

    BatchNormalizations have the statistics of random images: with others, nothing of an image is left behind 50 layers,
    and whatever an exporter does to the first of them makes no difference.
    """
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name.endswith("gamma"):
            weight.assign(generator.uniform(0.7, 1.3, weight.shape))
        elif weight.name.endswith(("beta", "bias")):
            weight.assign(generator.normal(scale=0.1, size=weight.shape))
    settle_statistics(model, generator.uniform(-1, 1, (IMAGES, size, size, 3)).astype(np.float32))
    return model


def settle_statistics(model: Any, images: Any) -> None:
    """Give BatchNormalizations the statistics of these images alone."""
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    if layers:
        model(images, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def export_with_kir(source: Path, target: Path) -> str:
    try:
        export_model(load_keras_model(source), target, ExportOptions(verify=False))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


# Measuring


@dataclass(frozen=True)
class Outcome:
    """What an exporter made of a model.

    `noise` is by how much two sessions of one file differ in time, and `difference` that from Keras's output, beside
    its largest element.
    """

    nodes: int
    transposes: int
    milliseconds: float
    noise: float
    difference: float


def count_transposes(path: Path) -> int:
    return sum(node.op_type == "Transpose" for node in onnx.load(path, load_external_data=False).graph.node)


def measure(files: Mapping[str, Path], image: Any, expected: Any, runs: int) -> dict[str, Outcome]:
    """Run two sessions of each file in turn, again and again; what does not run is printed and left out."""
    outputs = {name: compute(name, path, image) for name, path in files.items()}
    outputs = {name: output for name, output in outputs.items() if output is not None}
    seconds = time_in_turns({name: files[name] for name in outputs}, image, runs)
    scale = np.abs(expected).max()
    return {
        name: Outcome(
            count_nodes(files[name]),
            count_transposes(files[name]),
            1000 * min(seconds[name]),
            max(seconds[name]) / min(seconds[name]) - 1,
            float(np.abs(output - expected).max() / scale),
        )
        for name, output in outputs.items()
    }


def compute(name: str, path: Path, image: Any) -> Any:
    """What a file computes; None if it does not run."""
    try:
        return run(ort.InferenceSession(str(path), make_options()), image)
    except Exception as error:
        print(f"  {name} does not run: {str(error).splitlines()[0]}")
        return None


def run(session: Any, image: Any) -> Any:
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def time_in_turns(files: Mapping[str, Path], image: Any, runs: int) -> dict[str, tuple[float, ...]]:
    """Return the processor seconds of the fastest run of each file, of both of its sessions.

    Sessions are made anew a few times, since where their weights lie in memory makes a difference.
    """
    fastest = {(name, copy): math.inf for name in files for copy in range(COPIES)}
    order = list(fastest)
    shuffle = random.Random(0).shuffle
    for _ in range(SESSIONS):
        shuffle(order)
        sessions = {key: ort.InferenceSession(str(files[key[0]]), make_options()) for key in order}
        for session in sessions.values():
            run(session, image)
        for _ in range(-(-runs // SESSIONS)):
            shuffle(order)
            for key in order:
                begin = time.process_time()
                run(sessions[key], image)
                fastest[key] = min(fastest[key], time.process_time() - begin)
    return {name: tuple(fastest[name, copy] for copy in range(COPIES)) for name in files}


def make_files(source: Path, pythons: Mapping[str, str]) -> dict[str, Path]:
    """Return the model by every exporter that is there, and behind onnxslim; what fails is printed."""
    folder = source.parent
    files = {"kir": folder / f"{source.stem}.kir.onnx"}
    failures = {"kir": export_with_kir(source, files["kir"])}
    for peer in PEERS:
        if peer.name not in pythons:
            continue
        raw, slim = peer.name, f"{peer.name}, onnxslim"
        files[raw] = folder / f"{source.stem}.{peer.name}.onnx"
        failures[raw] = run_program(pythons[raw], EXPORT_WITH_KERAS, source, files[raw], backend=peer.backend)
        if "onnxslim" in pythons and not failures[raw]:
            files[slim] = folder / f"{source.stem}.{peer.name}.slim.onnx"
            failures[slim] = run_program(pythons["onnxslim"], OPTIMISE_WITH_ONNXSLIM, files[raw], files[slim])
    for name, failure in failures.items():
        if failure:
            print(f"  {name} fails: {failure}")
            del files[name]
    return files


def print_outcomes(outcomes: Mapping[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        print(
            f"  {name:<18}{outcome.nodes:>6} nodes{outcome.transposes:>5} Transposes"
            f"{outcome.milliseconds:>10.2f} ms  difference {outcome.difference:.1e}"
        )
    ours = outcomes.get("kir")
    others = [outcome for name, outcome in outcomes.items() if name != "kir" and outcome.difference < TOLERANCE]
    if ours is None:
        return
    if ours.difference > TOLERANCE:
        print("  LOST: other numbers")
    if ours.transposes > MAX_TRANSPOSES:
        print(f"  LOST: more than {MAX_TRANSPOSES} Transposes")
    if not others:
        return
    nodes = min(other.nodes for other in others)
    ratio = ours.milliseconds / min(other.milliseconds for other in others)
    noise = max(outcome.noise for outcome in (ours, *others))
    print(
        f"  kir beside the best: {ours.nodes / nodes:.2f} of the nodes, {ratio:.2f} of the time; two sessions of one "
        f"file differ by {noise:.2f}"
    )
    if ours.nodes > nodes:
        print("  LOST: more nodes")
    if ratio > 1 + noise:
        print("  LOST: slower")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the models of keras.applications by kir and by other exporters")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; by default all")
    parser.add_argument("--size", type=int, default=SIZE, help="height and width of the image")
    parser.add_argument("--runs", type=int, default=RUNS, help="of every file; the fastest counts")
    parser.add_argument("--keep", type=Path, help="a folder for the files, which are not deleted")
    for name in (*(peer.name for peer in PEERS), "onnxslim"):
        default = os.environ.get(f"KIR_{name.upper()}_PYTHON", sys.executable)
        parser.add_argument(f"--{name}", metavar="PYTHON", default=default, help=f"an interpreter that has {name}")
    return parser.parse_args()


def find_pythons(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the interpreter for each program that is installed; the others are printed."""
    needed = {peer.name: peer.modules for peer in PEERS} | {"onnxslim": ("onnxslim",)}
    pythons: dict[str, str] = {}
    for name, modules in needed.items():
        python = getattr(arguments, name)
        if is_installed(python, modules):
            pythons[name] = python
        else:
            print(f"{name} is not installed")
    return pythons


def main() -> None:
    arguments = parse_arguments()
    pythons = find_pythons(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.names or NAMES:
            print(f"{name}, {arguments.size} pixels", flush=True)
            source = folder / f"{name}_{arguments.size}.keras"
            model = load_or_save_model(name, arguments.size, source)
            image = np.random.default_rng(0).uniform(-1, 1, (1, arguments.size, arguments.size, 3)).astype(np.float32)
            files = make_files(source, pythons)
            print_outcomes(measure(files, image, np.asarray(model(image)), arguments.runs))


if __name__ == "__main__":
    main()
