"""What the command line says of failures, and the exit codes that they end with."""

from __future__ import annotations

import sys
from typing import TextIO

from kir.errors import KirError
from kir.support.program import EXIT_INTERRUPTED, interrupts

EXIT_BUG = 4
BUG_ADDRESS = "please report it, with the command and the model, where you got kir from"


def require_whole_files() -> None:
    """Raise FormatError if a file was cut short while it was read, whatever came of that."""
    if "kir.support.mapped_files" in sys.modules:
        from kir.support.mapped_files import require_unchanged

        require_unchanged([])


def _cause(error: Exception) -> Exception:
    """Return the error to report: that a file was cut short while it was read, if one was."""
    try:
        require_whole_files()
    except Exception as cause:
        return cause
    return error


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def report_interrupt() -> int:
    """Say that the command was interrupted, and return the exit code."""
    _say("interrupted")
    return EXIT_INTERRUPTED


def _is_interrupt(error: Exception) -> bool:
    """Return whether an interrupt was turned into this error, as modules in C do that import others."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    return interrupts.raised and any(isinstance(one, ImportError | SystemError | KeyboardInterrupt) for one in causes)


def report(error: Exception, debug: bool, as_json: bool) -> int:
    """Say what went wrong, once, and return the exit code."""
    if _is_interrupt(error):
        return report_interrupt()
    error = _cause(error)

    absent = isinstance(error, ModuleNotFoundError) and not (error.name or "kir").startswith("kir")
    # A file that the operating system refuses, such as a name that is too long.
    refused = isinstance(error, OSError) and error.filename is not None
    expected = absent or refused or isinstance(error, KirError | MemoryError)
    if debug or not expected:
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    message = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        message = f"out of memory: {message}; --no-verify needs least"
    elif isinstance(error, OSError) and refused:
        message = f"cannot use {error.filename}: {error.strerror}"
    elif absent:
        message = f"{message}, which kir needs; install kir with its dependencies"
    code = error.exit_code if isinstance(error, KirError) else 2 if expected else EXIT_BUG
    prefix = "error" if expected else "bug in kir"
    _say(f"{prefix}: {message}")
    for note in getattr(error, "__notes__", []):
        _say(f"  {note}")
    if not expected:
        _say(BUG_ADDRESS)
    if as_json:
        print_error(message, error, code)
    return code


def print_error(message: str, error: Exception, code: int) -> None:
    """Print a failure as a JSON document."""
    import json  # start-up time

    details = error.details if isinstance(error, KirError) else {}
    notes = getattr(error, "__notes__", [])
    document = {"error": message, "kind": type(error).__name__, "exit_code": code, "notes": notes, **details}
    print(json.dumps(document, indent=2))


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line; the function for `warnings.showwarning`."""
    _say(f"warning: {message}")
