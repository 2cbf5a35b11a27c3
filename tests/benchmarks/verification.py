"""Whether `kir export` verifies the models of keras.applications at the size that Keras gives them, and what it takes.

    python -m tests.benchmarks.verification [NAME …] [--size PIXELS] [--keep FOLDER] [--ratio [--turns N]]

Prints seconds, processor time (of all cores) and peak memory of the command, which reads, optimises, writes and
verifies, and how many nodes and Transposes are in the file. Exits with 1 if a model does not verify. Models, with
random weights, are made as in `tests.benchmarks.applications`; those in FOLDER are read again.

With --ratio: the processor time of a verified export over that of an unverified one, by the median of turns in which
the two alternate, of small models, two of keras.applications and a reader of text lines; NAMEs choose among them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.applications import NAMES, build_model, count_transposes
from tests.benchmarks.optimiser import count_nodes

ROOT = Path(__file__).parents[2]

# The models of --ratio, and how many times as long a verified export may take.
MOST_TIMES = {"mnist_mlp": 1.2, "masked_lstm": 1.2, "MobileNetV2": 2.0, "ResNet50V2": 3.0, "text_lines": 3.0}
TURNS = 5
TEXT_LINES = """
from kir import Input, Model, layers

x = image = Input(shape=(32, None, 1), name="image")
for block, filters in enumerate((32, 64, 128, 128, 256, 256)):
    for _ in range(3):
        shortcut = x
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("silu")(layers.BatchNormalization()(x))
        if shortcut.shape[-1] == filters:
            x = layers.Add()([shortcut, x])
    if block < 4:
        x = layers.MaxPooling2D((2, 2) if block < 2 else (2, 1))(x)
x = layers.Reshape((-1, 2 * 256))(layers.Permute((2, 1, 3))(x))
for _ in range(2):
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
for _ in range(4):
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 64)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(256)(layers.Dense(512, activation="gelu")(x)))
model = Model(image, layers.Dense(96, activation="softmax", name="letters")(x), name="text_lines")
"""

DEFAULT_SIZE = 224
OTHER_SIZES = {"InceptionV3": 299, "Xception": 299}


def save_model(name: str, size: int, source: Path) -> None:
    build_model(name, size).save(source)


def export(
    source: Path, target: Path, *options: str, environment: Mapping[str, str] | None = None
) -> tuple[int, float, float, float]:
    """Return the exit code of the command, its seconds, those of processor time, and its peak memory in MB."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "kir.cli", "export", str(source), "-o", str(target), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    return process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def source_of(name: str, size: int, folder: Path) -> Path:
    """Return the file of a model, which is made if it is not there."""
    script = ROOT / "models" / f"{name}.py"
    if script.exists():
        return script
    if name == "text_lines":
        (folder / f"{name}.py").write_text(TEXT_LINES)
        return folder / f"{name}.py"
    source = folder / f"{name}_{size}.keras"
    if not source.exists():
        # In a process of its own: the peak of a process counts as that of the commands that it starts.
        builder = multiprocessing.get_context("spawn").Process(target=save_model, args=(name, size, source))
        builder.start()
        builder.join()
    return source


def measure_ratio(source: Path, target: Path, turns: int) -> tuple[float, float]:
    """Return the median processor seconds of unverified and of verified exports, after a turn that is not counted."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(target.parent / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # to compile everything each time is not what users pay for
    found = [
        [export(source, target, *options, environment=environment) for options in (("--no-verify",), ())]
        for _ in range(turns + 1)
    ]
    assert all(code == 0 for pair in found for code, *_ in pair), f"{source} does not verify"
    unverified, verified = zip(*[[times[2] for times in pair] for pair in found[1:]], strict=True)
    return statistics.median(unverified), statistics.median(verified)


def print_ratios(names: list[str], size: int, folder: Path, target: Path, turns: int) -> int:
    """Print a line for each model, to be compared with that of another version; 1 if one takes too long."""
    print(f"{'model':<18}{'unverified':>11}{'verified':>10}{'times':>7}{'at most':>9}   (processor seconds)")
    worst = 0
    for name in names or MOST_TIMES:
        unverified, verified = measure_ratio(source_of(name, size, folder), target, turns)
        ratio, most = verified / unverified, MOST_TIMES[name]
        worst |= ratio > most
        print(f"{name:<18}{unverified:>11.2f}{verified:>10.2f}{ratio:>7.2f}{most:>9.1f}", flush=True)
    return worst


def print_exports(names: list[str], size: int | None, folder: Path, target: Path) -> int:
    worst = 0
    print(f"{'model':<18}{'pixels':>6}{'seconds':>9}{'cpu':>7}{'MB':>7}{'nodes':>7}{'Transposes':>12}")
    for name in names or NAMES:
        pixels = size or OTHER_SIZES.get(name, DEFAULT_SIZE)
        code, seconds, processor, megabytes = export(source_of(name, pixels, folder), target)
        worst = max(worst, code)
        counts = "" if code else f"{count_nodes(target):>7}{count_transposes(target):>12}  verified"
        figures = f"{seconds:>9.1f}{processor:>7.1f}{megabytes:>7.0f}"
        print(f"{name:<18}{pixels:>6}{figures}{counts or f'  exit code {code}'}", flush=True)
    return min(worst, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description="verified exports of the models of keras.applications")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; by default all")
    parser.add_argument("--size", type=int, help="height and width of the image; by default that of Keras")
    parser.add_argument("--keep", type=Path, help="a folder for the models, which are not deleted")
    parser.add_argument("--ratio", action="store_true", help="compare verified exports with unverified ones")
    parser.add_argument("--turns", type=int, default=TURNS, help="how often the two alternate")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, target = arguments.keep or Path(temporary), Path(temporary) / "model.onnx"
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.ratio:
            return print_ratios(arguments.names, arguments.size or DEFAULT_SIZE, folder, target, arguments.turns)
        return print_exports(arguments.names, arguments.size, folder, target)


if __name__ == "__main__":
    sys.exit(main())
