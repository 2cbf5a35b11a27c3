"""What a script changes in its process, and what is left of it."""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir.cli import _run
from kir.importers.script import load_script, run_script

MODEL = """
from kir import Input, Sequential
from kir.layers import Dense
model = Sequential([Input(shape=(4,), name="x"), Dense(2, name="y")])
"""

CHANGES = {
    "to its own folder": "import os\nos.chdir(os.path.dirname(__file__))",
    "to another folder": "import os\nos.chdir(os.sep)",
    "a parser of arguments": "import argparse\nassert argparse.ArgumentParser().parse_args() == argparse.Namespace()",
    "arguments": "import sys\nassert sys.argv == ['model.py'], sys.argv\nsys.argv.append('-v')",
    "its folder leaves the path": "import sys\ndel sys.path[0]",
    "an empty path": "import sys\nsys.path.clear()",
    "itself among the modules": "import sys\nsys.modules.pop(__name__, None)",
    "closed streams": "import sys\nsys.stdout.close()\nsys.stderr.close()",
    "no streams": "import sys\nsys.stdin = sys.stdout = sys.stderr = None",
    "a wrapper that closes its buffer": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')",
    "a detached buffer": "import io, sys\nsys.stderr = io.TextIOWrapper(sys.stderr.detach(), 'utf-8')",
    "handlers of signals": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "signal.signal(signal.SIGTERM, lambda *_: None)",
    "no environment": "import os\nos.environ.clear()",
    "another environment": "import os\nos.environ.update(HOME='/nowhere', TMPDIR='/nowhere')",
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')",
    "errors of NumPy": "import numpy\nnumpy.seterr(all='raise')\nnumpy.set_printoptions(precision=1)",
    "a lower limit of recursion": "import sys\nfrom kir import Model, layers\nlimit = sys.setrecursionlimit",
    "another locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
}


def state() -> dict[str, Any]:
    signals = [signal.SIGINT, signal.SIGTERM]
    return {
        "folder": os.getcwd(),
        "arguments": (id(sys.argv), list(sys.argv)),
        "path": list(sys.path),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "handlers": [signal.getsignal(number) for number in signals],
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "warnings": list(warnings.filters),
        "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "recursion": sys.getrecursionlimit(),
        "locale": locale.setlocale(locale.LC_ALL),
    }


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_script_changes_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    end = "\nlimit(sys.getrecursionlimit() - 1)" if "limit" in CHANGES[change] else ""
    Path("model.py").write_text(CHANGES[change] + MODEL + end)
    before = state()
    # A bare name has no folder, and the file to write is where the user stands.
    assert _run(["export", "model.py", "-o", "out.onnx"]) == 0, capsys.readouterr().err
    assert state() == before
    assert Path("out.onnx").exists()


def test_a_script_that_fails_is_put_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(
        "import os, sys\nos.chdir('/')\nsys.argv = sys.stdout = None\nsys.path.clear()\n1 / 0\n"
    )
    before = state()
    assert _run(["export", "model.py", "-o", "out.onnx"]) == 2
    assert state() == before


def test_options_are_files_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scripts").mkdir()
    Path("scripts/model.py").write_text("import os\nos.chdir(os.path.dirname(__file__))\n" + MODEL)
    model = load_script(Path("scripts/model.py"))
    model.save_weights(Path("weights.npz"))
    model.save_weights(Path("model.weights.h5"))
    for weights in ("weights.npz", "model.weights.h5"):
        assert _run(["export", "scripts/model.py", "--weights", weights, "-o", "out.onnx"]) == 0
    assert _run(["verify", "scripts/model.py", "out.onnx", "--weights", "weights.npz"]) == 0
    assert sorted(path.name for path in Path("scripts").glob("*.*")) == ["model.py"]


def test_a_script_of_custom_objects_is_put_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("objects.py").write_text(
        "import os, sys\nos.chdir('/')\nassert len(sys.argv) == 1\ndef double(x): return x * 2\n"
    )
    before = state()
    assert list(run_script(Path("objects.py"))) == ["double"]
    assert state() == before


def test_weights_that_a_script_reads_where_it_went_can_be_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scripts").mkdir()
    path = Path("scripts/model.py")
    for name in ("w.npz", "model.weights.h5", "w.safetensors"):
        path.write_text(MODEL)
        load_script(path).save_weights(Path("scripts", name))
        load = f"\nimport os\nos.chdir(os.path.dirname(__file__))\nmodel.load_weights({name!r})\n"
        path.write_text(MODEL + load)
        assert _run(["export", str(path), "-o", "out.onnx"]) == 0


LIVE = """
import os
os.chdir(os.path.dirname(__file__))
import keras
from helper import double
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Lambda(double, output_shape=(2,))])
"""


def test_a_live_model_of_keras_is_read_after_its_script_went_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scripts").mkdir()
    Path("scripts/model.py").write_text(LIVE)
    Path("scripts/helper.py").write_text("import keras\ndef double(x): return keras.ops.add(x, x)\n")
    assert _run(["export", "scripts/model.py", "-o", "out.onnx"]) == 0


def test_signal_handlers_are_left_alone_off_the_main_thread(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    loaded: list[Any] = []
    thread = threading.Thread(target=lambda: loaded.append(load_script(tmp_path / "model.py")))
    thread.start()
    thread.join()
    assert loaded[0].output_shape == (None, 2)


@pytest.mark.parametrize("error", ["SystemExit(3)", "GeneratorExit()", "type('Own', (BaseException,), {})('no')"])
def test_whatever_a_script_raises_is_an_error_of_the_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    (tmp_path / "model.py").write_text(f"raise {error}\n")
    assert _run(["export", str(tmp_path / "model.py"), "-o", str(tmp_path / "out.onnx")]) == 2
    assert "model.py:1" in capsys.readouterr().err


@pytest.fixture
def two_folders(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Write the same script into two folders, beside a helper that differs."""

    def write(script: str) -> tuple[Path, Path]:
        for name, units in (("old", 2), ("new", 3)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "helper.py").write_text(f"units = {units}\nclass Sizes: units = {units}\n")
            (tmp_path / name / "model.py").write_text(script)
        return tmp_path / "old/model.py", tmp_path / "new/model.py"

    return write


def test_each_script_gets_the_modules_of_its_own_folder(two_folders: Callable[[str], tuple[Path, Path]]) -> None:
    old, new = two_folders(
        "from helper import units\nfrom kir import Input, Sequential, layers\n"
        "model = Sequential([Input((4,)), layers.Dense(units)])\n"
    )
    assert [load_script(path).output_shape for path in (old, new, old)] == [(None, 2), (None, 3), (None, 2)]


def test_functions_import_from_their_own_folder_when_they_are_traced(
    two_folders: Callable[[str], tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = two_folders(
        "from kir import Input, Sequential, layers\n"
        "def scale(x):\n    from helper import units\n    return x * units\n"
        "model = Sequential([Input((4,)), layers.Lambda(scale)])\n"
    )
    assert _run(["diff", str(old), str(new)]) == 1, capsys.readouterr().err
    assert _run(["diff", str(old), str(old)]) == 0
