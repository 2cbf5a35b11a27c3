"""Files that change while their bytes are mapped: never a signal, always an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kir import Input, Sequential
from kir.errors import FormatError
from kir.exporters.onnx_file import export_graph
from kir.exporters.pipeline import ExportOptions, export_model, export_reference
from kir.importers.onnx_file import import_graph
from kir.layers import Dense
from kir.mapped_files import is_mapped, map_array, map_file, require_unchanged
from kir.op import Array

BYTES = 1 << 20


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
from tests.test_mapped_files import mapped
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
