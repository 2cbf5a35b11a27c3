"""Whether `kir export` verifies the models of keras.applications at the size that Keras gives them, and what it takes.

    python -m tests.benchmarks.verification [NAME …] [--size PIXELS] [--keep FOLDER]

Prints seconds, processor time (of all cores) and peak memory of the command, which reads, optimises, writes and
verifies, and how many nodes and Transposes are in the file. Exits with 1 if a model does not verify. Models, with
random weights, are made as in `tests.benchmarks.applications`; those in FOLDER are read again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.applications import NAMES, build_model, count_transposes
from tests.benchmarks.optimiser import count_nodes

DEFAULT_SIZE = 224
OTHER_SIZES = {"InceptionV3": 299, "Xception": 299}


def save_model(name: str, size: int, source: Path) -> None:
    build_model(name, size).save(source)


def export(source: Path, target: Path) -> tuple[int, float, float, float]:
    """Return the exit code of the command, its seconds, those of processor time, and its peak memory in MB."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "kir.cli", "export", str(source), "-o", str(target)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    return process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description="verified exports of the models of keras.applications")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; by default all")
    parser.add_argument("--size", type=int, help="height and width of the image; by default that of Keras")
    parser.add_argument("--keep", type=Path, help="a folder for the models, which are not deleted")
    arguments = parser.parse_args()
    worst = 0
    print(f"{'model':<18}{'pixels':>6}{'seconds':>9}{'cpu':>7}{'MB':>7}{'nodes':>7}{'Transposes':>12}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.names or NAMES:
            size = arguments.size or OTHER_SIZES.get(name, DEFAULT_SIZE)
            source, target = folder / f"{name}_{size}.keras", Path(temporary) / f"{name}.onnx"
            if not source.exists():
                # In a process of its own: the peak of a process counts as that of the commands that it starts.
                builder = multiprocessing.get_context("spawn").Process(target=save_model, args=(name, size, source))
                builder.start()
                builder.join()
            code, seconds, processor, megabytes = export(source, target)
            worst = max(worst, code)
            counts = "" if code else f"{count_nodes(target):>7}{count_transposes(target):>12}  verified"
            figures = f"{seconds:>9.1f}{processor:>7.1f}{megabytes:>7.0f}"
            print(f"{name:<18}{size:>6}{figures}{counts or f'  exit code {code}'}", flush=True)
    return min(worst, 1)


if __name__ == "__main__":
    sys.exit(main())
