"""The most memory that a process has had."""

from __future__ import annotations

from pathlib import Path


def peak_megabytes() -> int:
    """Return the peak of the resident set of this process since it began its program, as Linux counts it.

    `getrusage` would count what the process was forked from as well.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) // 1024
