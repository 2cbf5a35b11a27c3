"""The subject of a verification, and what each part of it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kir.exporters.onnx_file.mapped import LeanModel
from kir.exporters.onnx_file.session import Session
from kir.ir.graph import Graph, Value
from kir.numerics.compare import Run
from kir.numerics.probes import Probe
from kir.numerics.report import Statement
from kir.support.text import counted


@dataclass(frozen=True)
class Subject:
    """What is verified.

    Attributes:
        reference: what the file should compute, before any pass.
        written: the graph that the file holds, after the passes; None if it is not known.
        names: what the file calls the values of `written`; values that have no name in it are left out.
        model: the file, or a serialized model.
        lean: the same, for onnxruntime to run in little memory; it makes sessions.
        session: the file as it is, loaded.
        provider: onnxruntime's execution provider.
        seed: of inputs and roundings.
    """

    reference: Graph
    written: Graph | None
    names: Mapping[Value, str]
    model: Path | bytes
    lean: LeanModel
    session: Session
    provider: str
    seed: int


@dataclass
class RunCount:
    """How many runs a part took into account: "3 probes and 2 runs of your data"."""

    probes: int = 0
    data: int = 0

    def add(self, probe: Probe) -> None:
        """Count a run on a probe of kir's own, or one that feeds the user's rows."""
        if type(probe) is Probe:
            self.probes += 1
        else:
            self.data += 1

    def __str__(self) -> str:
        return self.described(counted(self.probes, "probe"))

    def described(self, probes: str) -> str:
        """Return the same with more to say of the probes."""
        runs = f"{counted(self.data, 'run')} of your data"
        return f"{probes} and {runs}" if self.data and self.probes else runs if self.data else probes


class Part(Protocol):
    """A part of a verification: it is told of every run of the reference, and says in the end what it found."""

    def add(self, run: Run) -> None:
        """Take one run into account."""

    def statement(self) -> Statement:
        """Return what this part found in all runs."""
