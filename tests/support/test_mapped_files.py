"""Files that change while their bytes are mapped: never a signal, always an error."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kir import Input, Sequential
from kir.errors import FormatError
from kir.exporters.onnx_file import export_graph
from kir.exporters.pipeline import ExportOptions, export_model, export_reference
from kir.exporters.script import export_script
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.op import Array
from kir.layers import Dense
from kir.support.mapped_files import is_mapped, map_array, map_file, require_unchanged

BYTES = 1 << 20


@pytest.fixture(autouse=True, scope="module")
def _no_other_mappings() -> None:
    """What the tests before this file mapped, and may have cut short since, is gone."""
    gc.collect()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    path.write_bytes(b"\x01" * BYTES)
    return path


def mapped(path: Path, offset: int = 0, size: int | None = None) -> Array:
    with open(path, "rb", 0) as file:
        return map_file(file, str(path), offset, size)


def test_the_bytes_of_a_section(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)
    array = mapped(path, 4099, 5)
    assert array.tolist() == [3, 4, 5, 6, 7]
    assert is_mapped(array[1:].view(np.uint16).T)
    assert not array.flags.writeable
    assert mapped(path, 16384).size == 0
    require_unchanged([array])


def test_arrays_of_one_file_share_a_mapping(path: Path) -> None:
    """A model has thousands of weights, and a process some thousand open files."""
    opened = len(os.listdir("/dev/fd"))
    arrays = [map_array(path, "numbers", np.dtype(np.uint16), 4 * index, (2,)) for index in range(2000)]
    assert len(os.listdir("/dev/fd")) <= opened + 2
    assert all(array.tolist() == [257, 257] for array in arrays)
    os.truncate(path, 5000)
    with pytest.raises(FormatError, match="was changed"):
        require_unchanged(arrays[:1])


def test_fewer_bytes_than_wanted_are_an_error(path: Path) -> None:
    with pytest.raises(FormatError, match=f"ends at byte {BYTES}"):
        mapped(path, BYTES - 10, 20)


def test_lost_pages_are_zeros_and_an_error(path: Path) -> None:
    array = mapped(path)
    os.truncate(path, 5000)
    assert array[BYTES // 2 :].sum() == 0
    with pytest.raises(FormatError, match="numbers was changed or cut short while it was read"):
        require_unchanged([])
    require_unchanged([])  # it was said


@pytest.mark.parametrize("change", [lambda path: os.truncate(path, 5000), lambda path: path.write_bytes(b"\2" * BYTES)])
def test_a_change_that_nobody_ran_into_is_an_error(change: object, path: Path, tmp_path: Path) -> None:
    array, other = mapped(path), np.zeros(3)
    os.utime(path, ns=(0, 0))
    array = mapped(path)
    change(path)  # type: ignore[operator]
    with pytest.raises(FormatError, match="was changed"):
        require_unchanged([array.reshape(2, -1)])
    require_unchanged([other])


def test_a_foreign_bus_error_still_ends_the_process(path: Path) -> None:
    code = f"""
import mmap, os
from tests.support.test_mapped_files import mapped
from pathlib import Path
path = Path({str(path)!r})
array = mapped(path)
with open(path, "rb") as file:
    foreign = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
del array
os.truncate(path, 10)
print(foreign[900000])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == -7
    assert done.stdout == b""


def test_a_foreign_bus_error_behind_a_lost_page_ends_the_process(path: Path) -> None:
    """Whoever handled the signal before is called again, such as Python's own handler that prints where it happened."""
    code = f"""
import faulthandler, mmap, os
faulthandler.enable()
from tests.support.test_mapped_files import mapped
from pathlib import Path
path = Path({str(path)!r})
array = mapped(path)
with open(path, "rb") as file:
    foreign = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(path, 10)
print(array.sum(), flush=True)
foreign[900000]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == -7
    assert done.stdout == b"10\n"
    assert b"Fatal Python error: Bus error" in done.stderr


@pytest.mark.slow
def test_threads_of_a_library_read_a_lost_page(path: Path) -> None:
    """Those of BLAS are none of Python's; meanwhile another thread of Python's runs."""
    code = f"""
import os, threading, time
import numpy as np
from tests.support.test_mapped_files import mapped
from pathlib import Path
path = Path({str(path)!r})
array = mapped(path).view(np.float32).reshape(512, 512)
copies = [mapped(path) for _ in range(4)]
os.truncate(path, 0)
stop = threading.Event()
threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)], daemon=True).start()
threads = [threading.Thread(target=copy.sum) for copy in copies]
for thread in threads:
    thread.start()
print((array @ array).sum())
for thread in threads:
    thread.join()
stop.set()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.0\n", "")


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", ["safetensors", "weights.h5", "onnx"])
def test_weights_that_shrink_under_an_export(kind: str, verify: bool, tmp_path: Path) -> None:
    """Neither a file nor a signal, and what was there stays."""
    model = Sequential([Input(shape=(300,), name="x"), Dense(400, "relu", name="a"), Dense(30, name="b")])
    target, source = tmp_path / "out.onnx", tmp_path / f"model.{kind}"
    target.write_text("as it was")
    if kind == "onnx":
        source = export_graph(model.to_graph(), source, external_data="yes").data_path or source
        graph = import_graph(tmp_path / "model.onnx")
        os.truncate(source, 3)
        with pytest.raises(FormatError, match="was changed or cut short"):
            export_reference(graph, target, ExportOptions(verify=verify))
    else:
        model.save_weights(source)
        model.load_weights(source)
        os.truncate(source, 3)
        with pytest.raises(FormatError, match="was changed or cut short"):
            export_model(model, target, ExportOptions(verify=verify))
    assert target.read_text() == "as it was"
    assert not list(tmp_path.glob(".out*"))


WRITERS: dict[str, Callable[[Sequential, Path], object]] = {
    "out.onnx": lambda model, path: export_graph(model.to_graph(), path),
    "large.onnx": lambda model, path: export_graph(model.to_graph(), path, external_data="yes"),
    "out.py": lambda model, path: export_script(model, path, verify=False, load=load_script),
    "out.keras": lambda model, path: model.save(path),
    "out.weights.h5": lambda model, path: model.save_weights(path),
    "out.npz": lambda model, path: model.save_weights(path),
    "out.safetensors": lambda model, path: model.save_weights(path),
    "out.kir": lambda model, path: model.to_graph().save(path),
}


@pytest.mark.parametrize("size", [3, 600_000])
@pytest.mark.parametrize("name", WRITERS)
def test_weights_that_change_under_any_writer(name: str, size: int, tmp_path: Path) -> None:
    """What is written would hold zeros, or other numbers."""
    model = Sequential([Input(shape=(300,), name="x"), Dense(400, name="a"), Dense(30, name="b")])
    source, target = tmp_path / "model.safetensors", tmp_path / name
    model.save_weights(source)
    model.load_weights(source)
    target.write_text("as it was")
    os.utime(source, ns=(0, 0))
    os.truncate(source, size)
    with pytest.raises(FormatError, match=r"model\.safetensors was changed or cut short"):
        WRITERS[name](model, target)
    assert target.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == sorted([source, target])
    require_unchanged([])
