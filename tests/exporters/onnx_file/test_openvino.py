"""A second provider that is real: OpenVINO, which has kernels of its own and runs on CPUs.

onnxruntime-openvino takes the place of onnxruntime, so it is installed in an environment of its own, in front of all
that this one has. Without an index, or where it has no wheel for this system, there is nothing to test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
REQUIREMENT = "onnxruntime-openvino>=1.24.1"
NOT_THERE = "No matching distribution found"  # what pip says of an index that it cannot reach, too
LOOKUP = """
from kir import Input, Sequential, layers
model = Sequential([Input(shape=(4,), dtype="int32", name="x"),
    layers.IntegerLookup(vocabulary=[3, 5, 8], name="lookup"),
    layers.Embedding(4, 3), layers.Flatten(), layers.Dense(2)])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python whose onnxruntime has OpenVINO."""
    environment = tmp_path_factory.mktemp("openvino") / "env"
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    others = [path for path in sys.path if path.endswith("site-packages")]
    (Path(folder) / "others.pth").write_text("\n".join([*others, str(ROOT)]))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--ignore-installed"]
    done = subprocess.run([*pip, REQUIREMENT], capture_output=True, text=True)
    if done.returncode and NOT_THERE in done.stderr:
        pytest.skip(f"no index has {REQUIREMENT} for this system: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *arguments], cwd=folder, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_right_exports_pass_and_planted_errors_are_seen(python: Path) -> None:
    """All models that errors are planted in, 30 random exports and 20 errors; what OpenVINO cannot run is refused."""
    done = run(python, "-m", "tests.gpu.check", "--provider", "openvino", "--exports", "30", "--errors", "20")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    counts = {kind: int(count) for count, kind in (line.split(maxsplit=1) for line in done.stdout.splitlines()[1:])}
    assert sum(counts.values()) == 14 + 30 + 20
    assert counts["passed"] > 25
    assert counts["error seen"] > 10


@pytest.mark.slow
def test_a_node_that_runs_on_the_cpu_instead_is_named(python: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(LOOKUP)
    done = run(python, "-m", "kir", "export", "model.py", "-o", "m.onnx", "--provider", "openvino", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lookup/LabelEncoder: ran on the CPU instead of openvino" in done.stdout


@pytest.mark.slow
def test_what_openvino_cannot_load_is_no_broken_file(python: Path, tmp_path: Path) -> None:
    """Its ScatterND does not add up."""
    script = str(ROOT / "models" / "sparse_ratings.py")
    done = run(python, "-m", "kir", "export", script, "-o", "m.onnx", "--provider", "openvino", folder=tmp_path)
    assert done.returncode == 3, done.stdout
    assert "openvino cannot load" in done.stderr
    assert list(tmp_path.iterdir()) == []
