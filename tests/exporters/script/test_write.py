"""Files: a script and its weights are put in place together, once the script has proved what it builds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Sequential
from kir.errors import FormatError, MismatchError
from kir.exporters.script import export_script, write
from kir.exporters.weights import write_safetensors
from kir.importers.arrays import load_safetensors
from kir.importers.script import load_script
from kir.layers import Dense, Flatten
from kir.modeling.model import Model


def model() -> Model:
    return Sequential([Input((4,), name="x"), Dense(3, name="y")], name="small")


def test_it_is_verified_and_says_what_was_written(tmp_path: Path) -> None:
    report = export_script(model(), tmp_path / "m.py", load=load_script)
    assert report.same_bytes
    assert report.verification is not None
    assert report.verification.passed
    assert report.weights_path is not None
    assert re.fullmatch(r"m\.[0-9a-f]{16}\.safetensors", report.weights_path.name)
    assert report.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert report.to_json()["same_onnx_bytes"] is True
    assert set(tmp_path.iterdir()) == {tmp_path / "m.py", report.weights_path}


def test_a_model_without_weights_is_one_file(tmp_path: Path) -> None:
    report = export_script(Sequential([Input((4, 2)), Flatten()]), tmp_path / "m.py", load=load_script)
    assert report.weights_path is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.py"]
    assert "Path" not in (tmp_path / "m.py").read_text()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    same = model()
    a, b = (export_script(same, tmp_path / name, verify=False, load=load_script) for name in ("a.py", "b.py"))
    assert a.path.read_bytes() == b.path.read_bytes()
    assert a.weights_path is not None
    assert b.weights_path is not None
    assert a.weights_path.read_bytes() == b.weights_path.read_bytes()
    assert a.weights_path.suffixes == b.weights_path.suffixes


def test_a_script_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.py").write_text("mine")
    (tmp_path / "m.safetensors").write_text("mine too")
    zeros = {"y/kernel": np.zeros((4, 3), np.float32), "y/bias": np.zeros(3, np.float32)}
    monkeypatch.setattr(write, "write_safetensors", lambda path, arrays: write_safetensors(path, zeros))
    with pytest.raises(MismatchError, match="y"):
        export_script(model(), tmp_path / "m.py", load=load_script)
    assert (tmp_path / "m.py").read_text() == "mine"
    assert (tmp_path / "m.safetensors").read_text() == "mine too"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_target_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no folder"):
        export_script(model(), tmp_path / "absent" / "m.py", load=load_script)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(FormatError, match="it is a folder"):
        export_script(model(), tmp_path / "folder.py", load=load_script)


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32"]


def test_arrays_of_every_dtype_come_back(tmp_path: Path) -> None:
    import ml_dtypes

    arrays: dict[str, Any] = {name: np.arange(6).reshape(2, 3).astype(name) for name in [*DTYPES, "float64"]}
    arrays["bfloat16"] = np.arange(6).astype(ml_dtypes.bfloat16)
    arrays |= {"empty": np.zeros((0, 3), np.float32), "scalar": np.array(3.5), "fortran": np.asfortranarray(np.eye(3))}
    write_safetensors(tmp_path / "a.safetensors", arrays)
    found = load_safetensors(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_reader_of_others_reads_it(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    arrays: dict[str, Any] = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3, dtype=np.int64)}
    write_safetensors(tmp_path / "a.safetensors", arrays)
    save_file(arrays, tmp_path / "b.safetensors", metadata={"format": "np"})
    for found in (load_file(tmp_path / "a.safetensors"), load_safetensors(tmp_path / "b.safetensors")):
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


BROKEN = [
    b"",
    b"short",
    b"\xff" * 8 + b"{}",
    (2).to_bytes(8, "little") + b"[]",
    (2).to_bytes(8, "little") + b"{}"[:1],
    b"\x40" + bytes(7) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.ljust(64),
    b"\x40" + bytes(7) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'.ljust(64),
    b"\x40" + bytes(7) + b'{"a":{"dtype":"X32","shape":[0],"data_offsets":[0,0]}}'.ljust(64),
    b"\x40" + bytes(7) + b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}'.ljust(64),
    b"\x40" + bytes(7) + b'{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}'.ljust(64) + bytes(4),
    b"\x40" + bytes(7) + (b"[" * 64),
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_is_none_is_an_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="safetensors"):
        load_safetensors(path)
