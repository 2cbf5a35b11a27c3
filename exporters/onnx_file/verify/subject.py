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
from kir.numerics.report import Statement


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


class Part(Protocol):
    """A part of a verification: it is told of every run of the reference, and says in the end what it found."""

    def add(self, run: Run) -> None:
        """Take one run into account."""

    def statement(self) -> Statement:
        """Return what this part found in all runs."""
