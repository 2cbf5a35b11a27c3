"""The process in which onnxruntime runs: what comes back from it, and what its death is."""

from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kir.errors import CrashError, ShapeError
from kir.exporters.onnx_file import session as sessions
from kir.exporters.onnx_file import worker as workers
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.onnx_file.worker import ForkedProcess, FreshProcess, SameProcess, WorkerProcess, shared_worker
from tests.exporters.onnx_file.test_session import FEEDS, model

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(not workers._can_fork(), reason="onnxruntime runs in this process here")


@pytest.fixture(autouse=True)
def _no_other_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other workers are not used, and it does not matter what other tests imported here."""
    monkeypatch.setattr(workers, "_workers", weakref.WeakSet())
    monkeypatch.setattr(workers, "_kept", [])
    monkeypatch.setattr(workers, "WITH_THREADS", ())


BOTH = pytest.mark.parametrize("process", [ForkedProcess, FreshProcess])


def double(array: Any) -> Any:
    return array * 2


def refuse() -> NoReturn:
    raise ShapeError("does not fit")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave() -> NoReturn:
    os._exit(7)


def count_sessions() -> int:
    return len(sessions._loaded)


def raise_local() -> NoReturn:
    class LocalError(Exception):
        pass

    raise LocalError("not to be pickled")


def open_pipes() -> int:
    return sum(stat.S_ISFIFO(entry.stat().st_mode) for entry in Path("/proc/self/fd").iterdir() if entry.exists())


remembered: list[int] = []


def remember(number: int) -> None:
    remembered.append(number)


def recall() -> list[int]:
    return remembered


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@BOTH
def test_results_and_errors_come_back(process: type[WorkerProcess]) -> None:
    worker = process()
    large = np.arange(1_000_000)
    np.testing.assert_array_equal(worker.call("doubling", double, large), large * 2)
    with pytest.raises(ShapeError, match="does not fit"):
        worker.call("refusing", refuse)
    with pytest.raises(RuntimeError, match="LocalError: not to be pickled"):
        worker.call("raising", raise_local)
    assert worker.call("getting its number", os.getpid) != os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="pipes have one size elsewhere")
@pytest.mark.parametrize(("asked", "given"), [(workers.PIPE_BYTES, workers.PIPE_BYTES), (-1, 1 << 16)])
def test_the_pipe_for_answers_is_large_where_the_system_allows_it(
    asked: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl  # not on Windows

    monkeypatch.setattr(workers, "PIPE_BYTES", asked)
    worker = ForkedProcess()
    assert fcntl.fcntl(worker._answers.fileno(), fcntl.F_GETPIPE_SZ) == given
    assert worker.call("multiplying", np.ones, 1 << 18).size == 1 << 18


@BOTH
def test_relative_paths_mean_what_they_mean_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: type[WorkerProcess]
) -> None:
    worker = process()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert worker.call("looking", os.getcwd) == os.getcwd()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGSEGV, r"died of signal SIGSEGV \(Segmentation fault\) while thinking"),
        (signal.SIGABRT, r"died of signal SIGABRT \(Aborted\) while thinking"),
        (signal.SIGKILL, r"died of signal SIGKILL \(Killed\), which the system sends when memory runs out, while"),
    ],
)
@BOTH
def test_its_death_is_an_error(
    number: signal.Signals, expected: str, capfd: pytest.CaptureFixture[str], process: type[WorkerProcess]
) -> None:
    worker = process()
    with pytest.raises(CrashError, match=expected) as caught:
        worker.call("thinking", die, number)
    assert caught.value.exit_code == 1
    with pytest.raises(CrashError, match="the process in which it ran is gone"):
        worker.call("thinking", double, 1)
    assert capfd.readouterr().err == ""


@BOTH
def test_an_exit_is_an_error(process: type[WorkerProcess]) -> None:
    with pytest.raises(CrashError, match="died with exit code 7 while leaving"):
        process().call("leaving", leave)


def test_it_ends_with_the_last_thing_that_refers_to_it() -> None:
    session = make_session(model())
    pid = session._worker.call("getting its number", os.getpid)
    assert is_alive(pid)
    other = make_session(model())
    assert other._worker is session._worker
    del session
    assert is_alive(pid)
    del other
    gc.collect()
    assert not is_alive(pid)


@BOTH
def test_what_was_to_be_called_later_comes_before_the_next_call(process: type[WorkerProcess]) -> None:
    worker = process()
    worker.call_later(remember, 1)
    worker.call_later(remember, 2)
    assert worker.call("recalling", recall) == [1, 2]
    assert remembered == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
@BOTH
def test_a_worker_has_no_pipes_of_another_one(process: type[WorkerProcess]) -> None:
    first, second = process(), process()
    assert second.call("counting", open_pipes) == first.call("counting", open_pipes)


def test_without_a_fork_onnxruntime_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_can_fork", lambda: False)
    assert isinstance(shared_worker(False), SameProcess)
    assert set(run_session(make_session(model()), FEEDS)) == {"scores"}


def test_without_memory_for_a_fork_onnxruntime_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError("no process")

    monkeypatch.setattr(os, "fork", fail)
    assert isinstance(shared_worker(False), SameProcess)


def test_a_process_that_uses_cuda_is_not_forked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_uses_cuda", lambda: True)
    assert isinstance(shared_worker(False), ForkedProcess)
    gc.collect()
    assert isinstance(shared_worker(True), FreshProcess)


@pytest.mark.parametrize("name", ["onnxruntime", "jax", "tensorflow", "torch"])
def test_a_process_with_a_library_that_has_threads_is_not_forked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(workers, "_workers", weakref.WeakSet())
    monkeypatch.setattr(workers, "_kept", [])
    monkeypatch.setattr(workers, "FreshProcess", lambda: name)
    monkeypatch.setitem(sys.modules, name, None)
    assert shared_worker(False) == name  # type: ignore[comparison-overlap]


def test_a_fresh_process_is_kept_and_what_it_loaded_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WITH_THREADS", ("numpy",))
    session = make_session(model())
    worker = session._worker
    assert worker.call("counting", count_sessions) == 1
    del session
    gc.collect()
    assert shared_worker(False) is worker
    assert worker.call("counting", count_sessions) == 0


IN_A_FORK = """
import gc, os, pathlib
from kir.exporters.onnx_file import session as sessions
from kir.exporters.onnx_file import worker as workers
worker = workers.{kind}()
{call}
if not (pid := os.fork()):
    refused = not worker.is_usable
    del worker
    gc.collect()
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), worker.call("", os.getpid) == worker._pid)
"""


@pytest.mark.parametrize("kind", ["ForkedProcess", "FreshProcess"])
def test_a_fork_of_the_users_leaves_the_worker_alone(kind: str, tmp_path: Path) -> None:
    program = IN_A_FORK.format(kind=kind, call="worker.call('', os.getpid)")
    assert python(program, tmp_path) == "1 True"


# Where threads of the user's load and run models, a fork waits for ever in one of a few exports. The user's file would
# say so if it were imported again.
NOTEBOOK = """
print("started")
import threading, time, numpy, onnxruntime
import kir
from kir.exporters.onnx_file import worker as workers
model = kir.Sequential([kir.Input((4,), name="x"), kir.layers.Dense(3)])
model.export("model.onnx", verify=False)
stop = threading.Event()
def load_and_run():
    while not stop.wait(0.01):
        onnxruntime.InferenceSession("model.onnx").run(None, {"x": numpy.zeros((1, 4), "float32")})
threading.Thread(target=load_and_run).start()
try:
    print(model.export("verified.onnx").verification.passed, len(workers._kept))
    print(model.export("again.onnx").verification.passed, len(workers._workers))
finally:
    stop.set()
"""


@pytest.mark.slow
def test_a_process_that_uses_onnxruntime_exports(tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    out = python("import runpy; runpy.run_path('notebook.py', run_name='__main__')", tmp_path)
    assert out.splitlines() == ["started", "True 1", "True 1"]


FOR_EVER = """
import signal, time
from kir.exporters.onnx_file.worker import FreshProcess
signal.signal(signal.SIGINT, signal.default_int_handler)
worker = FreshProcess()
print(worker._pid, flush=True)
worker.call("sleeping", time.sleep, 600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", [0, 1])
def test_a_fresh_process_ends_with_the_one_that_made_it(number: signal.Signals, moment: float, tmp_path: Path) -> None:
    """While it starts, and in the middle of a call."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FOR_EVER]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    time.sleep(moment)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert err.count(b"Traceback") == (number == signal.SIGINT)
    deadline = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def python(program: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What onnxruntime 1.32 dies of. When a newer one does not, these models need another poison.


def deadly_to_load() -> bytes:
    """Return a Transpose of float16 whose first axis comes last but one, and a product with a matrix."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2]),
        helper.make_node("MatMul", ["t", "w"], ["y"], "product"),
    ]
    nodes[1].metadata_props.add(key="kir.layer", value="encoder/dense")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [2, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [3, 2, 5])],
        [numpy_helper.from_array(np.ones((4, 5), np.float16), "w")],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    )


def deadly_to_run() -> bytes:
    """Return an LSTM, whose kernel does not survive an empty batch."""
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=2)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", "batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["steps", 1, "batch", 2])],
        [numpy_helper.from_array(np.ones((1, 8, n), np.float32), name) for name, n in (("w", 3), ("r", 2))],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    )


def test_a_model_that_kills_onnxruntime_when_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "deadly.onnx"
    path.write_bytes(deadly_to_load())
    expected = (
        r"onnxruntime died of signal SIG\w+ .* while loading .*deadly\.onnx; "
        r"it dies of MatMul 'product' of layer encoder/dense, and not of the nodes before; that is a bug of onnxruntime"
    )
    with pytest.raises(CrashError, match=expected):
        make_session(path)
    make_session(path, optimize=False)


def test_a_model_that_kills_onnxruntime_when_it_runs() -> None:
    session = make_session(deadly_to_run())
    with pytest.raises(
        CrashError, match=r"while running the model on x: float32\[4, 0, 3\]; it dies of LSTM 'lstm', and"
    ):
        run_session(session, {"x": np.zeros((4, 0, 3), np.float32)})


# The command line


def kir(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kir.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_kir_run_says_that_onnxruntime_died(tmp_path: Path) -> None:
    (tmp_path / "lstm.onnx").write_bytes(deadly_to_run())
    np.save(tmp_path / "x.npy", np.zeros((4, 0, 3), np.float32))
    done = kir("run", "lstm.onnx", "x=x.npy", folder=tmp_path)
    assert done.returncode == 1
    assert "error: onnxruntime died of signal" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no list of children")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_kir(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C reaches both processes; SIGKILL only the one of kir."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [])
    one = numpy_helper.from_array(np.array(1), "one")
    step = [
        helper.make_node("Identity", ["going"], ["still_going"]),
        helper.make_node("Add", ["before", "one"], ["after"]),
    ]
    body = helper.make_graph(
        step,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.INT64, []),
        ],
    )
    loop = helper.make_node("Loop", ["x", "", "one"], ["y"], "loop", body=body)
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [])
    endless = helper.make_model(
        helper.make_graph([loop], "g", [x], [y], [one]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    onnx.save(endless, tmp_path / "endless.onnx")
    np.save(tmp_path / "x.npy", np.array(2**62))
    command = [sys.executable, "-m", "kir.cli", "run", "endless.onnx", "x=x.npy"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Whoever runs the tests may ignore interrupts, as a shell does for its background jobs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        children = wait_for_child(process.pid)
        time.sleep(0.5)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, children))


def wait_for_child(pid: int) -> list[int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return [int(child) for child in children]
        time.sleep(0.05)
    raise AssertionError("kir has not started a process")
