"""Evidence that a user asks for beside kir's own: the user's data, and a record of it all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from kir.errors import InvalidArgumentError, UsageError
from kir.exporters.onnx_file.verify.data import DataPart
from kir.exporters.onnx_file.verify.proof_file import ProofRecorder
from kir.exporters.onnx_file.verify.rows import NamedArrays, UserData
from kir.exporters.onnx_file.verify.subject import Part
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.numerics.probes import Probe

PathLike: TypeAlias = str | os.PathLike[str]
GivenArrays: TypeAlias = Mapping[str, Any] | Sequence[Any] | Array | PathLike


@dataclass(frozen=True)
class Evidence:
    """What a verification looks at beside its own probes.

    Attributes:
        data: the user's own inputs, and what is expected for them.
        recorder: records what is verified, for a proof.
    """

    data: UserData | None = None
    recorder: ProofRecorder | None = None

    def probes(self, graph: Graph, seed: int) -> Sequence[Probe]:
        """Return further probes of a graph. Errors as of `UserData.probes`."""
        return [] if self.data is None else self.data.probes(graph, seed)

    def parts(self, outputs: Mapping[str, TensorType]) -> list[Part]:
        """Return further parts of the verification of a file with these outputs.

        Raises:
            InvalidArgumentError: an expected output has an unknown name.
        """
        data: list[Part] = [] if self.data is None else [DataPart(self.data, outputs)]
        return data if self.recorder is None else [*data, self.recorder]


def gather_evidence(
    data: GivenArrays | None,
    expect: GivenArrays | None,
    proof: PathLike | None,
    read: Callable[[GivenArrays, str], tuple[str, Mapping[str, Array]]],
) -> Evidence | None:
    """Return the evidence that a user asks for; None for none.

    Args:
        data, expect, proof: see `kir.export`.
        read: gives arrays by name and what messages call them, from what was given and what to call it.

    Raises:
        UsageError: there are outputs and no inputs.
        InvalidArgumentError: the proof is to have another name.
        FormatError: a file cannot be read.
    """
    if data is None and expect is not None:
        raise UsageError("--expect gives the outputs for the inputs of --data; give both")
    if data is None and proof is None:
        return None
    path = None if proof is None else Path(proof)
    if path is not None and path.suffix != ".npz":
        raise InvalidArgumentError(f"cannot write {path}: expected a name that ends in .npz")
    inputs = None if data is None else NamedArrays(*read(data, "data"))
    expected = None if expect is None else NamedArrays(*read(expect, "expect"))
    return Evidence(
        None if inputs is None else UserData(inputs, expected), None if path is None else ProofRecorder(path)
    )
