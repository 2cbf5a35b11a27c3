"""Replacing files: what the target may be, what the new file is like, and what is cleaned up."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kir import Input, Sequential
from kir.errors import FormatError, UnsupportedError
from kir.exporters.arrays import write_arrays
from kir.exporters.picture import Picture
from kir.exporters.picture.errors import save_error_page
from kir.exporters.pipeline import ExportOptions, export_model
from kir.exporters.script import export_script
from kir.exporters.weights import save_weights
from kir.importers.script import load_script
from kir.layers import Dense
from kir.numerics.report import VerificationReport
from kir.support import files
from kir.support.files import Companion, check_target, replacing, scratch_folder, short_name

ROOT = Path(__file__).parents[2]
MODEL = Sequential([Input((40,), name="x"), Dense(40, name="y")], name="small")
IS_ROOT = os.geteuid() == 0

PAIR = Companion(lambda name, digest: f"{short_name(name)}.{digest}.data", lambda name: f"<{name}>".encode())


def write_pair(path: Path, content: str) -> Path:
    """Write a file that refers to its companion, which holds the content, and return the companion."""
    with replacing(path, PAIR) as written:
        name = PAIR.add(written, lambda file: file.write_text(content))
        written.write_text(f"see <{name}>")
    return path.with_name(name)


def options(form: str) -> ExportOptions:
    return ExportOptions(verify=False, external_data=form)


WRITERS: dict[str, Callable[[Path], object]] = {
    "m.onnx": lambda path: export_model(MODEL, path, options("no")),
    "external.onnx": lambda path: export_model(MODEL, path, options("yes")),
    "m.py": lambda path: export_script(MODEL, path, verify=False, load=load_script),
    "m.weights.h5": lambda path: save_weights(MODEL, path),
    "m.npz": lambda path: save_weights(MODEL, path),
    "m.safetensors": lambda path: save_weights(MODEL, path),
    "m.keras": lambda path: MODEL.save(path),
    "m.kir": lambda path: MODEL.to_graph().save(path),
    "y.npz": lambda path: write_arrays(path, {"y": np.ones(99)}),
    "y.npy": lambda path: write_arrays(path, {"y": np.ones(99)}),
    "errors.html": lambda path: save_error_page(
        path, "m.onnx", MODEL.to_graph(), VerificationReport((), 0, "cpu", 0, "")
    ),
    **{f"m{suffix}": lambda path: Picture(MODEL).save(path) for suffix in (".svg", ".html", ".dot", ".mmd")},
}
writers = pytest.mark.parametrize("name", WRITERS)
# The modules that replace files, all of which these writers go through.
REPLACING = {
    "exporters/arrays.py",
    "exporters/keras_file.py",
    "exporters/onnx_file/write.py",
    "exporters/picture/errors.py",
    "exporters/picture/picture.py",
    "exporters/pipeline.py",
    "exporters/script/write.py",
    "exporters/weights.py",
    "kir/ir/serialize.py",
}


def test_every_module_that_replaces_files_is_known() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("exporters", "kir")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"(with |enter_context\()replacing\(", path.read_text(encoding="utf-8"))
    }
    assert found == REPLACING, "a new one needs a row in WRITERS, and its name in REPLACING"


@writers
def test_a_new_file_has_the_mode_of_any_new_file(name: str, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        WRITERS[name](tmp_path / name)
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


@writers
def test_behind_a_link_the_old_file_is_replaced_and_its_mode_and_owner_stay(name: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / name
    real.write_bytes(b"old")
    real.chmod(0o600)
    if IS_ROOT:
        os.chown(real, 1234, 2345)
    (tmp_path / "first").symlink_to(Path("real", name))
    (tmp_path / name).symlink_to(tmp_path / "first")
    before = real.stat()
    with pytest.warns(UserWarning, match="load .*real") if name == "external.onnx" else contextlib.nullcontext():
        WRITERS[name](tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "first").is_symlink()
    assert real.read_bytes() != b"old"
    for path in real.parent.iterdir():
        after = path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert {path.name for path in tmp_path.iterdir()} == {"real", "first", name}


@writers
def test_a_pipe_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(FormatError, match=f"cannot write .*{name}: it is a device or a pipe"):
        WRITERS[name](tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / name).lstat().st_mode)


@writers
def test_a_writer_that_fails_says_why_and_leaves_the_old_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"old")

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / name:
            raise OSError(1, "Operation not permitted", source)
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(FormatError) as raised:
        WRITERS[name](tmp_path / name)
    assert str(raised.value).startswith(f"cannot write {tmp_path / name}: Operation not permitted;")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@writers
def test_a_write_that_fails_says_why_and_leaves_the_old_file(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(FormatError) as raised:
            WRITERS[name](tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(raised.value).startswith(f"cannot write {tmp_path / name}: File too large;")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    assert capfd.readouterr() == ("", "")


# Targets


def test_a_dangling_link_makes_the_file_that_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to(Path("folder", "c"))
    with replacing(tmp_path / "a") as written:
        written.write_text("new")
    assert (tmp_path / "folder" / "c").read_text() == "new"
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").is_symlink()


def test_a_folder_behind_a_link_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    companion = write_pair(tmp_path / "link" / "m", "numbers")
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"m", companion.name}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("folder", "it is a folder"),
        ("absent/m", "there is no folder .*absent; create it"),
        ("file/m", "there is no folder .*file; create it"),
        ("loop", "Too many levels of symbolic links"),
        ("into_nowhere", "there is no folder .*absent"),
        ("x" * 256, "File name too long"),
        ("nul\0", r"nul\\x00': a name cannot hold the character NUL"),
        (os.fsdecode(b"caf\xe9"), r"caf\\udce9': its name is not UTF-8"),
        ("socket", "a device or a pipe"),
        ("device", "a device or a pipe"),
    ],
)
def test_an_impossible_target_is_refused(name: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("a file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "into_nowhere").symlink_to(Path("absent", "m"))
    (tmp_path / "device").symlink_to("/dev/null")
    bind_socket(tmp_path / "socket")
    before = sorted(tmp_path.iterdir())
    for attempt in (check_target, lambda path: replacing(path).__enter__()):
        with pytest.raises(FormatError, match=f"cannot write .*{expected}"):
            attempt(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path has at most 107 bytes
        try:
            opened.bind(path.name)
        finally:
            os.chdir(here)


def test_a_folder_that_takes_no_files_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"cannot write /proc/x\.onnx: ") as raised, replacing(Path("/proc/x.onnx")):
        pass
    assert ".kir-" not in str(raised.value)


@pytest.mark.skipif(IS_ROOT, reason="root may write to every file")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").touch(0o444)
    with pytest.raises(FormatError, match="it is read-only; make it writable"):
        check_target(tmp_path / "m")


def test_another_hard_link_keeps_the_old_content(tmp_path: Path) -> None:
    companion = write_pair(tmp_path / "m", "old")
    os.link(tmp_path / "m", tmp_path / "other")
    write_pair(tmp_path / "m", "new")
    assert companion.name in (tmp_path / "other").read_text()
    assert companion.read_text() == "old"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    name = "ä" * 120 + ".onnx.longer."
    assert len(os.fsencode(name)) == 253
    companion = write_pair(tmp_path / name, "numbers")
    assert companion.name.startswith("ä" * 40)
    assert len(os.fsencode(companion.name)) < 143
    again = write_pair(tmp_path / name, "others")
    assert {path.name for path in tmp_path.iterdir()} == {name, again.name}


@pytest.mark.parametrize("name", ["a", "ä" * 50, "m (1).onnx", "模型.onnx"])
def test_ordinary_names_are_kept(name: str) -> None:
    assert short_name(name) == name


def test_different_names_are_shortened_differently() -> None:
    names = ["a/b", "a\\b", "a:b", 'a"b', "a\nb", "a\udce9", "x" * 101, "x" * 102, "x" * 200 + "y", "x" * 200 + "z"]
    short = [short_name(name) for name in names]
    assert len(set(short)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) and len(name) <= 100 for name in short)


# Errors


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    def write_half(path: Path) -> None:
        path.write_text("new")
        raise KeyboardInterrupt

    (tmp_path / "m").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "m") as written:
        write_half(written)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"m": "old"}


def test_errors_of_the_block_name_the_target(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as raised, replacing(tmp_path / "m") as written:
        raise UnsupportedError(f"{written} beside {written.parent / 'data'}")
    assert str(raised.value) == f"{tmp_path / 'm'} beside {tmp_path / 'data'}"


# Companions


def test_the_old_companion_goes_and_nothing_else(tmp_path: Path) -> None:
    old = write_pair(tmp_path / "m", "old")
    others = [
        old.with_name("m.data"),  # of another tool
        old.with_name("m.0123456789abcdef.data"),  # nothing refers to it here: somebody may have renamed its model
        old.with_name(old.name.replace("m.", "n.")),
        old.with_name(f"{old.name}.bak"),
    ]
    for other in others:
        other.write_text("mine")
    (tmp_path / "m").write_text(f"see <{old.name}> <{others[0].name}> <{others[2].name}> <{others[3].name}> <../x>")
    new = write_pair(tmp_path / "m", "new")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "m", new, *others])


def test_the_companion_of_a_copy_stays(tmp_path: Path) -> None:
    """Of a model that was copied without its data, and is exported over the one that it was copied from."""
    old = write_pair(tmp_path / "m.onnx", "old")
    shutil.copy(tmp_path / "m.onnx", tmp_path / "copy.onnx")
    write_pair(tmp_path / "m.onnx", "new")
    assert old.read_text() == "old"
    (tmp_path / "copy.onnx").unlink()
    write_pair(tmp_path / "m.onnx", "old")
    write_pair(tmp_path / "m.onnx", "newer")
    assert not old.exists()


def test_a_companion_that_is_only_mentioned_stays(tmp_path: Path) -> None:
    old = write_pair(tmp_path / "m", "old")
    (tmp_path / "m").rename(tmp_path / "kept")
    (tmp_path / "m").write_text(f"not like {old.name}")
    write_pair(tmp_path / "m", "new")
    assert old.read_text() == "old"


def test_a_companion_behind_a_link_stays(tmp_path: Path) -> None:
    old = write_pair(tmp_path / "m", "old")
    old.rename(tmp_path / "elsewhere")
    old.symlink_to("elsewhere")
    write_pair(tmp_path / "m", "old")  # the same content: what is there is right
    assert old.is_symlink()
    write_pair(tmp_path / "m", "new")
    assert old.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "old"


def test_the_same_content_is_the_same_companion_and_damage_is_mended(tmp_path: Path) -> None:
    first = write_pair(tmp_path / "m", "numbers")
    first.write_text("damaged")
    assert write_pair(tmp_path / "m", "numbers") == first
    assert first.read_text() == "numbers"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_without_companion_replaces_a_pair(tmp_path: Path) -> None:
    write_pair(tmp_path / "m", "old")
    with replacing(tmp_path / "m", PAIR) as written:
        written.write_text("alone")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["alone"]


def test_a_companion_that_the_file_does_not_refer_to_is_left_out(tmp_path: Path) -> None:
    with replacing(tmp_path / "m", PAIR) as written:
        PAIR.add(written, lambda file: file.write_text("a draft"))
        name = PAIR.add(written, lambda file: file.write_text("numbers"))
        written.write_text(f"see <{name}>")
    assert {path.name for path in tmp_path.iterdir()} == {"m", name}


def test_references_are_found_across_the_pieces_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 7)
    companion = write_pair(tmp_path / "m", "numbers")
    assert PAIR.of(tmp_path / "m") == {companion.name}


def test_many_writers_of_one_target_leave_one_pair(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            write_pair(tmp_path / "m", f"numbers {(number + turn) % 3}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [companion] = PAIR.of(tmp_path / "m")
    assert {path.name for path in tmp_path.iterdir()} == {"m", companion}


def test_a_lock_that_is_never_released_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LOCK_SECONDS", 0)
    with (
        pytest.raises(FormatError, match=r"cannot write .*m: another program has locked the folder"),
        files._locked(tmp_path),
    ):
        write_pair(tmp_path / "m", "numbers")
    assert list(tmp_path.iterdir()) == []


# Scratch folders


def killed_in_scratch_folder(target: Path) -> None:
    """Another process makes a scratch folder, and is killed."""
    child = os.fork()
    if child == 0:
        with scratch_folder(target) as folder:
            (folder / "large").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed_in_scratch_folder(tmp_path / "m")
    killed_in_scratch_folder(tmp_path / "mm")
    [left] = tmp_path.glob(".m.kir-*")
    (tmp_path / "precious").write_text("mine")
    (left / "link").symlink_to(tmp_path / "precious")
    (left / "folder").symlink_to(tmp_path)
    with scratch_folder(tmp_path / "m"):
        assert not left.exists()
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {".mm.kir", "precious"}
    assert (tmp_path / "precious").read_text() == "mine"


def test_the_scratch_folder_of_a_live_writer_stays(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "m") as first:
        with scratch_folder(tmp_path / "m") as second:
            assert first.exists()
            assert first != second
        assert first.exists()
        assert not second.exists()


def test_what_only_looks_like_a_scratch_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / ".m.kir-01234567").symlink_to("folder")
    (tmp_path / ".m.kir-12345678").write_text("a file")
    (tmp_path / ".m.kir-backup").mkdir()
    (tmp_path / ".m.kir-").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with scratch_folder(tmp_path / "m"):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_notes_of_a_killed_writer_reach_nothing_but_companions(tmp_path: Path) -> None:
    companion = write_pair(tmp_path / "m", "in use")
    killed_in_scratch_folder(tmp_path / "m")
    [left] = tmp_path.glob(".m.kir-*")
    (tmp_path / "precious").write_text("mine")
    (left / "replaced").mkdir()
    for name in ("precious", companion.name, "m.0123456789abcdef.data"):
        (left / "replaced" / name).touch()
    (tmp_path / "m.0123456789abcdef.data").mkdir()
    with scratch_folder(tmp_path / "m"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {
        "m",
        companion.name,
        "precious",
        "m.0123456789abcdef.data",
    }
