"""Exports that are killed, or whose system calls fail, at every point: the old file is there, or the new one."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kir import Input, Sequential
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_reference
from kir.exporters.script import export_script
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.layers import Dense
from kir.modeling.model import Model
from tests.exporters.onnx_file.graphs import mlp
from tests.file_calls import NAMING, fails_at, is_killed_at

ROOT = Path(__file__).parents[2]
SIZE = 40
OLD, NEW = 1.0, 2.0
CHANGES = [
    pytest.param(old, new, id=f"{old or 'nothing'}-{new}")
    for old, new in itertools.product((None, "inline", "external"), ("inline", "external"))
]


def graph(value: float) -> Graph:
    return mlp([np.full((SIZE, SIZE), value, np.float32)])


def export(path: Path, value: float, form: str) -> None:
    options = ExportOptions(level=0, verify=False, external_data="yes" if form == "external" else "no")
    export_reference(graph(value), path, options)


def computed(path: Path) -> float | None:
    """Return the value whose model lies in a file; None if there is no file."""
    if not path.exists():
        return None
    session = make_session(path, threads=1)
    result = run_session(session, {"features": np.ones((1, SIZE), np.float32)})["scores"]
    value = float(result[0, 0]) / SIZE
    np.testing.assert_array_equal(result, [SIZE * value + np.arange(SIZE)])
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: flushing thousands of files to a disk takes minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


class Place:
    """A folder to export into, again and again, over the same old file."""

    def __init__(self, folder: Path, old: str | None) -> None:
        self.file = folder / "work" / "m.onnx"
        self.backup = folder / "old"
        self.backup.mkdir()
        if old is not None:
            export(self.backup / "m.onnx", OLD, old)
        self.known: dict[frozenset[tuple[str, bytes]], float | None] = {}

    def restore(self) -> None:
        shutil.rmtree(self.file.parent, ignore_errors=True)
        shutil.copytree(self.backup, self.file.parent)

    def computed(self) -> float | None:
        """What the file in place computes. Each state of the folder is tried once."""
        files = {path: path.read_bytes() for path in self.file.parent.iterdir() if path.is_file()}
        state = frozenset((path.name, data) for path, data in files.items())
        if state not in self.known:
            self.known[state] = computed(self.file)
        return self.known[state]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.file.parent.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_whoever_is_killed_leaves_the_old_file_or_the_new_one(old: str | None, new: str, folder: Path) -> None:
    place = Place(folder, old)
    place.restore()
    export(place.file, NEW, new)
    finished = place.names()
    seen = set()
    for number in itertools.count(1):
        place.restore()
        if not is_killed_at(number, lambda: export(place.file, NEW, new)):
            break
        seen.add(place.computed())
        export(place.file, NEW, new)
        assert place.names() == finished, f"killed at {number}"
        assert place.computed() == NEW
    assert seen == {OLD if old else None, NEW}
    assert place.names() == finished


@pytest.mark.parametrize(("old", "new"), CHANGES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPERM], ids=errno.errorcode.get)
def test_a_call_that_fails_leaves_the_old_file_or_the_new_one(
    code: int, old: str | None, new: str, folder: Path
) -> None:
    place = Place(folder, old)
    place.restore()
    before = place.names()
    export(place.file, NEW, new)
    finished = place.names()
    seen = set()
    for number in itertools.count(1):
        place.restore()
        error = OSError(code, os.strerror(code), "a file")
        callers, raised = fails_at(number, error, lambda: export(place.file, NEW, new))
        if not callers:
            break
        if raised is None:
            assert place.computed() == NEW
        else:
            assert raised.exit_code == 2
            assert str(raised).startswith(f"cannot write {place.file}: {os.strerror(code)}")
            seen.add(place.computed())
        expected = finished if raised is None else before
        if "_remove_scratch_folder" not in callers:
            assert place.names() == expected, f"call {number} of {callers}"
        export(place.file, NEW, new)
        assert place.names() == finished
        assert place.computed() == NEW
    assert seen == {OLD if old else None}


def model(value: float) -> Model:
    made = Sequential([Input((2,), name="x"), Dense(2, name="y")])
    made.set_weights([np.full((2, 2), value, np.float32), np.zeros(2, np.float32)])
    return made


@pytest.mark.slow
def test_whoever_is_killed_leaves_a_script_with_its_own_weights(folder: Path) -> None:
    """The same text but for the digest: a script would compute something else with other weights."""
    work, old = folder / "work", folder / "old"
    old.mkdir()
    export_script(model(OLD), old / "m.py", verify=False, load=load_script)
    new = model(NEW)
    seen = set()
    for number in itertools.count(1):
        shutil.copytree(old, work)
        if not is_killed_at(number, lambda: export_script(new, work / "m.py", verify=False, load=load_script), NAMING):
            break
        seen.add(float(load_script(work / "m.py").get_weights()[0][0, 0]))
        export_script(new, work / "m.py", verify=False, load=load_script)
        assert len(list(work.iterdir())) == 2, f"killed at {number}"
        shutil.rmtree(work)
    assert seen == {OLD, NEW}


KILL_VERIFYING = """
import sys
from pathlib import Path
from kir.exporters.pipeline import ExportOptions, export_reference
from tests.exporters.test_interruptions import NEW, graph
from tests.file_calls import is_killed_at

def export():
    export_reference(graph(NEW), Path(sys.argv[1]), ExportOptions(external_data="yes"))

print(is_killed_at(int(sys.argv[2]), export))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [25, 10_000])
def test_killed_while_verifying(number: int, tmp_path: Path) -> None:
    """onnxruntime is not to be forked once it has run, so another process forks."""
    path = tmp_path / "m.onnx"
    export(path, OLD, "external")
    killed = subprocess.run(
        [sys.executable, "-c", KILL_VERIFYING, path, str(number)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert killed == [str(number < 10_000)]
    assert computed(path) == (OLD if number < 10_000 else NEW)
    export(path, NEW, "external")
    assert len(list(tmp_path.iterdir())) == 2
