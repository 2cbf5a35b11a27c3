"""The program `kir`: the process around the command line, from its first import to its exit code.

Wherever an interrupt arrives, the program ends with exit code 130 and one word. Standard streams that are closed, full
or ASCII do not crash it. `main` is what the installed command, `python -m kir` and `python -m kir.cli` run.

At the top nothing is imported that Python has not loaded already: before `main`, an interrupt prints a traceback.
"""

from __future__ import annotations

import codecs
import gc
import io
import os
import sys

# A name that type checkers know; importing `typing` would take longer than all that comes before `main`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn, TextIO

    from _typeshed import ReadableBuffer

EXIT_INTERRUPTED = 130

# How many containers are made before the garbage collector looks through them. With Python's default of 700 it looks
# through all that is imported again and again, in vain, for a tenth of the time of a small export.
COLLECTED_AT_ONCE = 200_000

# How long OpenBLAS's threads wait for work at full speed, as a power of two of clock cycles: the least that it takes.
# With its default of 26 they do so after NumPy's import and after each product, for a quarter of a small export's time.
BLAS_PATIENCE = "4"

# What kir itself prints beyond ASCII, for terminals that have no more. Other characters are escaped.
# fmt: off
ASCII = {
    "…": "...", "×": "x", "·": "*", "±": "+-", "−": "-", "→": "->", "²": "^2", "√": "sqrt ", "Φ": "Phi",
    "─": "-", "━": "=", "│": "|", "•": "*",
}
# fmt: on


class Interrupts:
    """The interrupts (SIGINT, Ctrl-C) of the program.

    Attributes:
        raise_error: whether an interrupt raises KeyboardInterrupt, so that a command can clean up. Before and after a
            command there is nothing to clean up, and the interrupt ends the process at once.
        raised: whether one has raised KeyboardInterrupt. Modules in C turn that into ImportError while they are
            imported, so an exception alone does not tell.
    """

    def __init__(self) -> None:
        self.raise_error = False
        self.raised = False

    def take_over(self) -> None:
        """Replace Python's handler, unless the parent ignores interrupts, as a shell does for its background jobs."""
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._arrive)
            sys.excepthook = self._print_uncaught
            sys.unraisablehook = self._print_unraisable

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if not self.raise_error:
            end_interrupted()
        self.raised = True
        raise KeyboardInterrupt

    def _print_uncaught(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Print no KeyboardInterrupt: modules in C print one before they turn it into an ImportError."""
        if not issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)

    def _print_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise a KeyboardInterrupt a moment later if it was lost in a destructor, from which nothing is raised."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        import _thread
        import threading

        again = threading.Timer(0.01, _thread.interrupt_main)
        again.daemon = True
        again.start()


interrupts = Interrupts()


class Sink(io.RawIOBase):
    """The bottom of standard output or error: what cannot be written there is an error once, or never.

    A reader that has seen enough, such as `head`, is no error: the rest goes nowhere.

    Args:
        raw: what is written to.
        name: what the error calls it; None for no error, where there is no other place to print it.
    """

    def __init__(self, raw: io.RawIOBase, name: str | None) -> None:
        super().__init__()
        self._raw = raw
        self._name = name
        self._lost = False

    def write(self, data: ReadableBuffer) -> int:
        """Write bytes, as `io.RawIOBase.write` does.

        Raises:
            FormatError: they cannot be written, for another reason than that nobody reads them.
        """
        if self._lost:
            return memoryview(data).nbytes
        try:
            return self._raw.write(data) or 0
        except OSError as error:
            self._lost = True
            if self._name is None or isinstance(error, BrokenPipeError):
                return memoryview(data).nbytes
            from kir.errors import FormatError

            raise FormatError(f"cannot write to {self._name}: {error.strerror or error}") from error

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()


def main() -> NoReturn:
    """Run the command line on the arguments of the process, and exit with its code."""
    try:
        interrupts.take_over()
    except KeyboardInterrupt:
        end_interrupted()
    open_closed_streams()
    codecs.register_error("kir", describe_character)
    sys.stdout = guarded(sys.stdout, raw_for_results(), "standard output")
    sys.stderr = guarded(sys.stderr, raw_of(sys.stderr), None)
    gc.set_threshold(COLLECTED_AT_ONCE)
    written = written_descriptors() if os.name == "posix" else set[int]()
    from kir.cli import run_arguments

    try:
        interrupts.raise_error = True
        code = run_arguments(sys.argv[1:])
        interrupts.raise_error = False
    except KeyboardInterrupt:
        # The second interrupt, while the command cleaned up after the first.
        end_interrupted()
    leave(code, written)


def import_numpy() -> None:
    """Import NumPy so that the threads of OpenBLAS, if it has that, sleep while there is nothing to do.

    OpenBLAS reads the variable when it is loaded, and then it goes: programs that this one starts have their own way.
    One that the user set stays. Other BLAS libraries start their threads with the first large product.
    """
    variable = "OPENBLAS_THREAD_TIMEOUT"
    is_ours = os.environ.setdefault(variable, BLAS_PATIENCE) is BLAS_PATIENCE
    import numpy  # noqa: F401, here, since `kir --help` does without

    if is_ours:
        del os.environ[variable]


def end_interrupted() -> NoReturn:
    """End the process at once."""
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)


def open_closed_streams() -> None:
    """Open standard streams that are closed, on nothing; otherwise files would get their numbers.

    A file with the number of standard error would get what modules in C print there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")
            setattr(sys, name, stream)
            # A stream that nothing refers to any more closes its descriptor.
            setattr(sys, f"__{name}__", stream)


def raw_of(stream: TextIO) -> io.RawIOBase:
    """Return what is below the buffers of a stream."""
    raw: io.RawIOBase = getattr(stream.buffer, "raw", stream.buffer)  # type: ignore[arg-type]
    return raw


def raw_for_results() -> io.RawIOBase:
    """Return standard output for results alone.

    What else is written to its descriptor goes to standard error, such as that of the programs that a model script
    starts. On Windows the descriptor stays, for the console takes all characters only there.
    """
    if os.name != "posix":
        return raw_of(sys.stdout)
    raw = io.FileIO(os.dup(1), "w")
    os.dup2(2, 1)
    return raw


def guarded(stream: TextIO, raw: io.RawIOBase, name: str | None) -> TextIO:
    """Return a stream like this one with a `Sink` at its bottom, which takes every character whatever its encoding."""
    buffer = io.BufferedWriter(Sink(raw, name))
    return io.TextIOWrapper(buffer, stream.encoding, "kir", line_buffering=bool(stream.line_buffering))


def describe_character(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks, as an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in characters), error.end


def leave(code: int, before: set[int]) -> NoReturn:
    """Exit without waiting for threads that a model script left running.

    Python does not take its modules apart, which would take a quarter of the time of a small export, unless a script
    left files open: then libraries in C close theirs.

    Args:
        code: the exit code.
        before: the `written_descriptors` that this process began with; none on Windows.
    """
    import atexit
    import contextlib

    # What a script prints when it ends is no result.
    results, sys.stdout = sys.stdout, sys.stderr
    atexit._run_exitfuncs()
    for stream in (results, sys.stderr):
        with contextlib.suppress(Exception):  # what cannot be written was said before
            stream.flush()
    is_open = os.name != "posix" or not written_descriptors() <= before
    if is_open and "kir.importers.script" in sys.modules and not has_running_threads():
        flush_files()
        sys.exit(code)
    os._exit(code)


def has_running_threads() -> bool:
    """Return whether threads run that Python would wait for."""
    import threading

    return any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate())


def written_descriptors() -> set[int]:
    """Return the descriptors of all that this process could write to."""
    import fcntl
    from contextlib import suppress

    found = set()
    for descriptor in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # the list was one
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                found.add(descriptor)
    return found


def flush_files() -> None:
    """Write what is in the buffers of files that nobody closed."""
    from contextlib import suppress

    for one in gc.get_objects():
        if issubclass(type(one), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with suppress(Exception):  # it is closed, or cannot be written
                one.flush()
