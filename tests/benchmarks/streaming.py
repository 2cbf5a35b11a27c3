"""How much memory and time the export of a large `.keras` file takes, beside the file's size and `cp`.

    python tests/benchmarks/streaming.py [MEGABYTES]

Each export runs in a process of its own, whose peak memory is its largest resident set. Of the verified export it is
the largest anonymous memory, without the pages of mapped files, which the kernel may drop; that needs Linux. Needs
Keras for making the file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = 2048

MAKE = """
import sys, keras
mean = keras.initializers.Constant(1 / {units})  # quickly made, and no layer overflows
layers = [keras.layers.Dense({units}, name=f"dense_{{i}}", kernel_initializer=mean) for i in range(int(sys.argv[2]))]
keras.Sequential([keras.Input(({units},)), *layers]).save(sys.argv[1])
"""

EXPORT = """
import resource, sys, time
from pathlib import Path
from kir.importers.keras_file import load_keras_model
from kir.exporters.pipeline import ExportOptions, export_model
begin = time.perf_counter()
model = load_keras_model(Path(sys.argv[1]))
loaded = time.perf_counter()
export_model(model, Path(sys.argv[2]), ExportOptions(verify=False))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loaded - begin, time.perf_counter() - loaded)
"""

EXPORT_VERIFIED = """
import sys, threading, time
from pathlib import Path
from kir.importers.keras_file import load_keras_model
from kir.exporters.pipeline import export_model

def watch():
    while not done.wait(0.002):
        lines = Path("/proc/self/status").read_text().splitlines()
        peaks.append(next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))

done, peaks = threading.Event(), [0]
watcher = threading.Thread(target=watch)
watcher.start()
begin = time.perf_counter()
try:
    export_model(load_keras_model(Path(sys.argv[1])), Path(sys.argv[2]))
finally:
    done.set()
    watcher.join()
print(max(peaks) / 1024, time.perf_counter() - begin)
"""

IMPORTS_ONLY = """
import resource, h5py, kir.importers.keras_file, kir.exporters.pipeline, kir.exporters.onnx_file
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Print one line for each figure."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "model.keras"), Path(folder, "model.onnx")
        _run(MAKE.format(units=UNITS), str(source), str(max(1, megabytes * (1 << 20) // (UNITS * UNITS * 4))))
        size = source.stat().st_size / (1 << 20)
        copying = min(_copy_seconds(source, Path(folder, "copy")) for _ in range(3))
        baseline = float(_run(IMPORTS_ONLY))
        runs = [tuple(map(float, _run(EXPORT, str(source), str(target)).split())) for _ in range(3)]
        peak, loading, exporting = min(runs, key=lambda run: run[1] + run[2])
        verified_peak, verifying = map(float, _run(EXPORT_VERIFIED, str(source), str(target)).split())
        layer = UNITS * UNITS * 4 / (1 << 20)
        print(f"file                {size:8.1f} MB")
        print(f"cp                  {copying:8.2f} s")
        print(f"load                {loading:8.2f} s   {loading / copying:6.2f} x cp")
        print(f"export, unverified  {exporting:8.2f} s   {exporting / copying:6.2f} x cp")
        print(f"both                {loading + exporting:8.2f} s   {(loading + exporting) / copying:6.2f} x cp")
        print(f"peak memory         {peak:8.1f} MB  {peak / size:6.2f} x the file")
        print(f"  of that, imports  {baseline:8.1f} MB")
        print(f"both, verified      {verifying:8.2f} s   {verifying / copying:6.2f} x cp")
        print(f"peak, anonymous     {verified_peak:8.1f} MB  {verified_peak / layer:6.2f} x the largest layer")


def _run(code: str, *arguments: str) -> str:
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"KERAS_BACKEND": "numpy", "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _copy_seconds(source: Path, target: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([shutil.which("cp") or "cp", str(source), str(target)], check=True)
    seconds = time.perf_counter() - begin
    target.unlink()
    return seconds


if __name__ == "__main__":
    main()
