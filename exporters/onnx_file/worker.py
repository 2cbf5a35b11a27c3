"""A process of its own for onnxruntime, so that its death is an error of kir and not kir's own death.

onnxruntime is native code, which a model can kill: with a pattern that one of its optimisations trips over, in a kernel
that reads past an array, for want of memory. The process answers calls of functions, one after the other.

Why every session, and not only those of files that look dangerous: nobody knows which these are, and a fork is cheap.
It is forked from this process before onnxruntime is imported there, and ends with the last thing that refers to it. A
cold export of `models/mnist_mlp.py` takes 0.03 s of processor time more than without, and the larger of its processes
has 81 MB in place of 98 MB, since it need not import onnxruntime.

A fork has one thread, and whatever another thread held at that moment stays locked there for ever. So in a process that
runs onnxruntime itself, as a notebook may, or another library with threads of its own (`WITH_THREADS`), the process is
a fresh interpreter, which takes 0.4 s to start and stays until this one ends. It imports kir, and never the user's
`__main__`. The same where this process uses CUDA, which no fork can go on using.

There is no limit on time: a large model may run for minutes. Ctrl-C ends both processes.

Calls run in this process where the system has no fork (Windows), or one that its own libraries do not survive (macOS),
and if there is no memory for another process.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn, ParamSpec, Protocol, TypeVar

from kir.errors import CrashError

P = ParamSpec("P")
R = TypeVar("R")


PIPE_BYTES = 1 << 20  # as much as Linux lets anybody have


class Worker(Protocol):
    """A place to run functions that use onnxruntime. What they keep in global variables lives as long as the worker."""

    def call(self, doing: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the function returns or raises; `doing` completes "onnxruntime died while …".

        Raises:
            CrashError: the process died.
        """

    def call_later(self, function: Callable[[int], None], number: int, /) -> None:
        """Call the function before the next call. Safe in finalizers, which run in the middle of anything."""

    @property
    def is_usable(self) -> bool:
        """Whether it still runs."""


class SameProcess:
    """A worker that runs functions here."""

    is_usable = True

    def call(self, doing: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    def call_later(self, function: Callable[[int], None], number: int, /) -> None:
        function(number)


# Libraries whose threads may hold what a fork needs as well.
WITH_THREADS = ("onnxruntime", "jax", "tensorflow", "torch")


class WorkerProcess:
    """A worker in a process that ends when this object does. Functions and values are pickled.

    Raises:
        OSError: there is no memory, or no number, for another process.
    """

    def __init__(self) -> None:
        request_reader, request_writer = os.pipe()
        answer_reader, answer_writer = os.pipe()
        _enlarge(answer_writer)
        self._lock = threading.Lock()
        self._later: list[tuple[Callable[[int], None], int]] = []
        try:
            self._pid = self._begin(request_reader, answer_writer, (request_writer, answer_reader))
        except OSError:
            os.close(request_writer)
            os.close(answer_reader)
            raise
        finally:
            os.close(request_reader)
            os.close(answer_writer)
        self._requests, self._answers = open(request_writer, "wb"), open(answer_reader, "rb")  # noqa: SIM115
        self.end = weakref.finalize(self, _end, self._pid, self._requests, self._answers)
        _workers.add(self)

    def _begin(self, requests: int, answers: int, of_caller: tuple[int, int]) -> int:
        """Start a process that serves these ends of pipes, and not those of this one, and return its number."""
        raise NotImplementedError

    @property
    def is_usable(self) -> bool:
        """Return whether it still runs; never in a fork of the process that made it."""
        return self.end.alive

    def disown(self) -> None:
        """Close the pipes in a fork, which has inherited them, so that they end with the process that made them."""
        if self.end.detach() is not None:
            nothing = os.open(os.devnull, os.O_RDWR)
            for pipe in (self._requests, self._answers):
                os.dup2(nothing, pipe.fileno(), inheritable=False)  # where it is closed later, and may be written to
            os.close(nothing)

    def call(self, doing: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            if not self.end.alive:
                raise CrashError(
                    f"onnxruntime was {doing}, and the process in which it ran is gone; load the model anew"
                )
            try:
                self._send((function, args, kwargs))
                result, error = pickle.load(self._answers)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError):
                raise CrashError(f"onnxruntime died {self._fate()} while {doing}") from None
            except BaseException:  # an interrupt: nobody will read the answer
                self.end()
                raise
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def call_later(self, function: Callable[[int], None], number: int, /) -> None:
        self._later.append((function, number))
        if self._lock.acquire(blocking=False):  # nobody is in the middle of a call
            try:
                self._send(None)
            except (OSError, ValueError):  # it is gone, and all that it kept
                pass
            finally:
                self._lock.release()

    def _send(self, call: tuple[Callable[..., object], tuple[object, ...], dict[str, object]] | None) -> None:
        """Send a function to call, or None, and what was to be called before."""
        later, self._later = self._later, []
        pickle.dump((_current_folder(), later, call), self._requests, pickle.HIGHEST_PROTOCOL)
        self._requests.flush()

    def _fate(self) -> str:
        status = self.end()
        if status is None or not os.WIFSIGNALED(status):
            code = "an unknown code" if status is None else os.waitstatus_to_exitcode(status)
            return f"with exit code {code}"
        number = os.WTERMSIG(status)
        why = ", which the system sends when memory runs out," if number == signal.SIGKILL else ""
        return f"of signal {signal.Signals(number).name} ({signal.strsignal(number)}){why}"


def _enlarge(pipe: int) -> None:
    """Let a pipe hold more than 64 KiB, where the system can: of large arrays the two processes take fewer turns."""
    import fcntl  # not on Windows

    with suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.curdir


class ForkedProcess(WorkerProcess):
    """A worker in a fork of this process."""

    def _begin(self, requests: int, answers: int, of_caller: tuple[int, int]) -> int:
        with warnings.catch_warnings(action="ignore"):  # that other threads are not in the fork: it uses none of them
            pid = os.fork()
        if pid == 0:
            for end in of_caller:
                os.close(end)
            serve(requests, answers)
        return pid


class FreshProcess(WorkerProcess):
    """A worker in a fresh interpreter, which finds modules where this one does."""

    def _begin(self, requests: int, answers: int, of_caller: tuple[int, int]) -> int:
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({requests}, {answers})"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=(requests, answers),
            start_new_session=True,  # Ctrl-C is for the caller, also while this one starts
        )
        process.returncode = 0  # `_end` waits for it
        return process.pid


_workers: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()
_kept: list[WorkerProcess] = []  # fresh ones, which are slow to start


def _disown_all() -> None:
    for worker in tuple(_workers):
        worker.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


def _end(pid: int, requests: IO[bytes], answers: IO[bytes]) -> int | None:
    """End a worker process and close the pipes to it; return its exit status, if the system still knows."""
    with suppress(OSError):  # what could not be written, to a process that is gone
        requests.close()
    answers.close()
    with suppress(ProcessLookupError, ChildProcessError):
        # A process that died by itself is there until it is waited for, with its own status.
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    return None


def shared_worker(uses_device: bool) -> Worker:
    """Return the worker of this process that is in use, or a new one.

    Args:
        uses_device: whether a provider other than the CPU's is to be used.
    """
    if not _can_fork():
        return SameProcess()
    for worker in tuple(_workers):
        if worker.is_usable:
            return worker
    try:
        if not _is_fork_deadly(uses_device):
            return ForkedProcess()
        _kept[:] = [FreshProcess()]
        return _kept[0]
    except OSError:
        return SameProcess()


def _is_fork_deadly(uses_device: bool) -> bool:
    """Return whether a fork might wait for ever for what a thread of this process holds, or lose CUDA."""
    return not sys.modules.keys().isdisjoint(WITH_THREADS) or (uses_device and _uses_cuda())


def _can_fork() -> bool:
    return hasattr(os, "fork") and sys.platform != "darwin"


def _uses_cuda() -> bool:
    with suppress(OSError):
        return "libcuda.so" in Path("/proc/self/maps").read_text()
    return False


# In the worker


def serve(requests: int, answers: int) -> NoReturn:
    """Answer calls until the process that makes them is gone; the arguments are ends of pipes."""
    try:
        _leave_no_traces()
        threading.Thread(target=_exit_with_caller, args=(requests,), daemon=True).start()
        with open(requests, "rb", closefd=False) as reader, open(answers, "wb", closefd=False) as writer:
            while True:
                folder, later, call = pickle.load(reader)
                with suppress(OSError):
                    os.chdir(folder)  # relative paths mean what they mean to the caller
                for before, number in later:
                    before(number)
                if call is not None:
                    pickle.dump(_answer(*call), writer, pickle.HIGHEST_PROTOCOL)
                    writer.flush()
                del call
    finally:
        os._exit(1)


def _leave_no_traces() -> None:
    """Leave Ctrl-C to the caller, and die without a word: the caller says it."""
    import faulthandler  # start-up time
    import resource  # not on Windows

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGBUS, signal.SIG_DFL)  # of `kir.support.mapped_files`, whose handler may wait for a lock
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _exit_with_caller(requests: int) -> None:
    """End this process, even in the middle of a call, when the other end of the pipe is closed."""
    import select  # start-up time

    poll = select.poll()
    poll.register(requests, 0)  # nothing but the end
    poll.poll()
    os._exit(0)


def _answer(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[Any, BaseException | None]:
    try:
        return function(*args, **kwargs), None
    except BaseException as error:
        return None, _picklable(error)


def _picklable(error: BaseException) -> BaseException:
    """Return the error, if it can be sent; else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
