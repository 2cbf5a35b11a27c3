"""The program: interrupts from its first import on, standard streams that take nothing or little, and its way out."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
SCRIPT = """
from kir import Input, Sequential
from kir.layers import Dense, Dropout
model = Sequential([Input(shape=(4,), name="x"), Dense(3, activation="relu"), Dropout(0.5), Dense(2, name="y")])
"""
EXPORT = ("export", "model.py", "-o", "out.onnx")

Start = Callable[..., "subprocess.Popen[bytes]"]


def default_interrupts() -> None:
    """In a child: what a terminal gives a program. The parent, and so the child, may ignore interrupts (nohup)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start Python, by default as the program, in a folder that holds SCRIPT as model.py."""
    (tmp_path / "model.py").write_text(SCRIPT)

    def started(
        *arguments: str | bytes, python: tuple[str, ...] = ("-m", "kir"), **options: object
    ) -> subprocess.Popen[bytes]:
        settings = {"PYTHONPATH": str(ROOT), **options.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.Popen(
            [sys.executable, *python, *arguments],
            cwd=tmp_path,
            env={**os.environ, **settings},
            **{
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "preexec_fn": default_interrupts,
                **options,
            },  # type: ignore[call-overload]
        )

    return started


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


# Interrupts

AT_IMPORT = """
import signal, sys
from kir.support.program import main

class Interrupt:
    left = int(sys.argv.pop(1))

    def find_spec(self, name, path=None, target=None):
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
main()
"""


# The first import is that of `signal`, before interrupts are expected; those of click, NumPy, onnx and onnxruntime
# follow, in Python and in C.
@pytest.mark.parametrize("count", [1, 2, 30, 120, 240, 360, 480, 600, 720])
def test_an_interrupt_while_something_is_imported_is_exit_code_130(start: Start, tmp_path: Path, count: int) -> None:
    process = start(str(count), *EXPORT, python=("-c", AT_IMPORT))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, b"", b"interrupted")
    assert files(tmp_path) == {"model.py"}


@pytest.mark.slow
def test_an_interrupt_at_any_time_is_exit_code_130_or_comes_too_late(start: Start, tmp_path: Path) -> None:
    delays = random.Random(0)
    for _ in range(8):
        process = start(*EXPORT)
        # Python itself takes a moment, in which it prints a traceback.
        time.sleep(delays.uniform(0.1, 1))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert b"Traceback" not in err
        # Python's own way out ends with the signal.
        assert process.returncode in (130, 0, -signal.SIGINT)
        assert files(tmp_path) <= {"model.py", "out.onnx"}


def test_an_interrupt_that_is_lost_in_a_destructor_arrives_all_the_same(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import signal, time\n"
        "class Careless:\n    def __del__(self):\n        signal.raise_signal(signal.SIGINT)\n"
        "Careless()\nfor _ in range(600): time.sleep(0.1)\n"
    )
    process = start(*EXPORT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, b"interrupted")


@pytest.mark.slow
def test_a_script_may_handle_an_interrupt(start: Start, tmp_path: Path) -> None:
    handled = "import signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: pass\n"
    (tmp_path / "model.py").write_text(handled + SCRIPT)
    process = start(*EXPORT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_error_after_an_interrupt_that_was_handled_is_reported(start: Start, tmp_path: Path) -> None:
    handled = "import signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: pass\n"
    (tmp_path / "model.py").write_text(handled)
    process = start(*EXPORT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"leaves no model behind" in err


@pytest.mark.slow
def test_an_interrupt_is_ignored_where_the_parent_ignores_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n" + SCRIPT)
    process = start(*EXPORT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.communicate(timeout=60)
    assert process.returncode == 0


# Streams


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full, to which nothing can be written")
@pytest.mark.parametrize(
    "arguments",
    [EXPORT, ("summary", "model.py"), ("summary", "model.py", "--json"), ("ops",), ("--help",)],
    ids=" ".join,
)
def test_results_that_cannot_be_written_are_an_error(start: Start, arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        process = start(*arguments, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == b"error: cannot write to standard output: No space left on device\n"


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full, to which nothing can be written")
@pytest.mark.parametrize(("arguments", "code"), [(EXPORT, 0), (("summary", "missing.py"), 2), (("nonsense",), 2)])
def test_messages_that_cannot_be_written_change_nothing(start: Start, arguments: tuple[str, ...], code: int) -> None:
    with FULL.open("wb") as full:
        process = start(*arguments, stderr=full)
        process.communicate(timeout=60)
    assert process.returncode == code


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize(("name", "code"), [("model.py", 0), ("missing.py", 2)])
def test_streams_may_be_closed(start: Start, tmp_path: Path, closed: tuple[int, ...], name: str, code: int) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    process = start("export", name, "-o", "out.onnx", "--no-verify", preexec_fn=close)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert (b"out.onnx: 3 nodes" in out) == (code == 0 and 1 not in closed)
    assert (b"missing.py" in err) == (code == 2 and 2 not in closed)
    if code == 0:
        # A descriptor that is free goes to the next file.
        assert b"out.onnx: 3 nodes" not in (tmp_path / "out.onnx").read_bytes()


def test_a_reader_that_has_seen_enough_changes_nothing(start: Start) -> None:
    process = start("ops")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


ASCII_TERMINALS = {
    "PYTHONIOENCODING": {"PYTHONIOENCODING": "ascii"},
    "the locale C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ASCII_TERMINALS)
def test_an_ascii_terminal_shows_every_character(start: Start, tmp_path: Path, terminal: str) -> None:
    (tmp_path / "model.py").write_text(SCRIPT.replace('"y"', '"é×"'), encoding="utf-8")
    for arguments in ((*EXPORT, "--no-verify"), ("summary", "model.py"), ("inspect", "out.onnx")):
        process = start(*arguments, env=ASCII_TERMINALS[terminal])
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.isascii()
        assert b"\\xe9x" in out
    process = start(*EXPORT[:3], "é.onnx".encode(), "--external-data", "yes", env=ASCII_TERMINALS[terminal])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    process = start("summary", "é.py".encode(), env=ASCII_TERMINALS[terminal])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"there is no file" in err
    assert err.isascii()


# What scripts leave behind


def test_what_a_script_writes_is_no_result(start: Start, tmp_path: Path) -> None:
    writes = (
        "import os, atexit\nos.system('echo child')\nos.write(1, b'descriptor\\n')\natexit.register(print, 'end')\n"
    )
    (tmp_path / "model.py").write_text(
        f"{writes}from kir import Input, Sequential, layers\n"
        "model = Sequential([Input((3,)), layers.Lambda(lambda x: [print('traced'), x][1])])\n"
    )
    process = start(*EXPORT, "--json")
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["verification"]["passed"]
    for text in (b"child", b"descriptor", b"end", b"traced"):
        assert text in err


def test_a_thread_that_a_script_leaves_running_does_not_keep_the_program(start: Start, tmp_path: Path) -> None:
    leaves = "import atexit, threading\natexit.register(print, 'end')\n"
    leaves += "threading.Thread(target=threading.Event().wait).start()\n"
    (tmp_path / "model.py").write_text(leaves + SCRIPT)
    process = start(*EXPORT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == b"end\n"


def test_what_a_script_writes_to_files_that_it_never_closes_is_there(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "class Log:\n    def __init__(self, name):\n"
        "        self.me = self\n        self.file = open(name, 'w')\n        self.file.write('kept')\n"
        f"log = Log('cycle.txt')\nfile = open('plain.txt', 'w')\nfile.write('kept')\n{SCRIPT}"
    )
    process = start(*EXPORT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [(tmp_path / name).read_text() for name in ("cycle.txt", "plain.txt")] == ["kept", "kept"]


def test_files_that_libraries_in_c_hold_open_are_whole(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(f"import h5py\nfile = h5py.File('left.h5', 'w')\nfile['a'] = [1, 2]\n{SCRIPT}")
    start(*EXPORT, "--no-verify").communicate(timeout=60)
    with h5py.File(tmp_path / "left.h5") as file:
        assert list(file["a"]) == [1, 2]


# NumPy's threads

THREADS = """
import os, subprocess, sys
from threadpoolctl import threadpool_info
print([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"], file=sys.stderr)
show = "import os; print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'), file=__import__('sys').stderr)"
subprocess.run([sys.executable, "-c", show])
"""
PLAIN = "import numpy\n" + THREADS.partition("show")[0]


@pytest.mark.parametrize("given", [None, "10"])
def test_scripts_have_all_threads_of_blas_and_the_users_settings(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    settings = {} if given is None else {"OPENBLAS_THREAD_TIMEOUT": given}
    (tmp_path / "model.py").write_text(THREADS + SCRIPT)
    _, plain = start("-c", PLAIN, python=(), env=settings).communicate(timeout=60)
    _, err = start("summary", "model.py", env=settings).communicate(timeout=60)
    assert err.splitlines() == [*plain.splitlines(), str(given).encode()]


@pytest.mark.parametrize("program", [("-m", "kir"), ("-m", "kir.cli"), (str(ROOT / "cli.py"),)], ids=" ".join)
def test_every_way_to_start_it_is_the_same(start: Start, program: tuple[str, ...]) -> None:
    process = start("summary", "missing.py", python=program)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert err.startswith(b"error: there is no file missing.py")
