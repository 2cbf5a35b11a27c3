"""Evidence beside that of kir's own probes, which a user asks for: the user's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kir.exporters.onnx_file.verify.data import DataPart
from kir.exporters.onnx_file.verify.rows import UserData
from kir.exporters.onnx_file.verify.subject import Part
from kir.ir.graph import Graph
from kir.ir.types import TensorType
from kir.numerics.probes import Probe


@dataclass(frozen=True)
class Evidence:
    """What a verification looks at beside its own probes.

    Attributes:
        data: the user's own inputs, and what is expected for them.
    """

    data: UserData | None = None

    def probes(self, graph: Graph, seed: int) -> Sequence[Probe]:
        """Return further probes of a graph. Errors as of `UserData.probes`."""
        return [] if self.data is None else self.data.probes(graph, seed)

    def parts(self, outputs: Mapping[str, TensorType]) -> list[Part]:
        """Return further parts of the verification of a file with these outputs.

        Raises:
            InvalidArgumentError: an expected output has an unknown name.
        """
        return [] if self.data is None else [DataPart(self.data, outputs)]
