"""Evidence that a user asks for beside kir's own: the user's data, what Keras says, and a record of it all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kir.errors import InvalidArgumentError, UsageError
from kir.exporters.onnx_file.verify.data import DataPart, ExpectPart
from kir.exporters.onnx_file.verify.proof_file import ProofRecorder
from kir.exporters.onnx_file.verify.rows import NamedArrays, UserData
from kir.exporters.onnx_file.verify.subject import Part
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.numerics.probes import Probe

if TYPE_CHECKING:
    from kir.exporters.onnx_file.verify.against_keras import KerasPart
    from kir.modeling.model import Model

PathLike: TypeAlias = str | os.PathLike[str]
GivenArrays: TypeAlias = Mapping[str, Any] | Sequence[Any] | Array | PathLike


@dataclass(frozen=True)
class Evidence:
    """What a verification looks at beside its own probes.

    Attributes:
        data: the user's own inputs, and what is expected for them.
        recorder: records what is verified, for a proof.
        against_keras: whether Keras is to be asked, see `with_keras`.
        keras: the part that asks it.
    """

    data: UserData | None = None
    recorder: ProofRecorder | None = None
    against_keras: bool = False
    keras: KerasPart | None = None

    def probes(self, graph: Graph, seed: int) -> Sequence[Probe]:
        """Return further probes of a graph. Errors as of `UserData.probes`."""
        return [] if self.data is None else self.data.probes(graph, seed)

    def parts(self, outputs: Mapping[str, TensorType]) -> list[Part]:
        """Return further parts of the verification of a file with these outputs.

        Raises:
            InvalidArgumentError: an expected output has an unknown name.
        """
        parts: list[Part] = []
        if self.data is not None:
            parts.append(DataPart(self.data))
            if self.data.expected is not None:
                parts.append(ExpectPart(self.data.inputs.label, self.data.expected, outputs))
        return [*parts, *[part for part in (self.keras, self.recorder) if part is not None]]

    @contextmanager
    def with_keras(
        self, model: Model | Graph, source: object, is_as_read: bool, custom_objects: object
    ) -> Iterator[Evidence]:
        """Give the evidence with that of Keras, if it is to be asked, which runs until the context ends.

        Args: as of `keras_part`; only a script of custom objects is known to the process of Keras.

        Raises:
            UsageError: Keras knows nothing of the model: it is a graph.
        """
        if not self.against_keras:
            yield self
            return
        from kir.exporters.onnx_file.verify.against_keras import keras_part
        from kir.modeling.model import Model

        if not isinstance(model, Model):
            raise UsageError(f"--against keras needs a model of layers; {source} is a graph of operators")
        code = Path(custom_objects) if isinstance(custom_objects, str | os.PathLike) else None
        with keras_part(model, source, is_as_read, code) as part:
            yield replace(self, keras=part)


def gather_evidence(
    data: GivenArrays | None,
    expect: GivenArrays | None,
    against: str | None,
    proof: PathLike | None,
    read: Callable[[GivenArrays, str], tuple[str, Mapping[str, Array]]],
) -> Evidence:
    """Return the evidence that a user asks for.

    Args:
        data, expect, against, proof: see `kir.export`.
        read: gives arrays by name and what messages call them, from what was given and what to call it.

    Raises:
        UsageError: there are outputs and no inputs.
        InvalidArgumentError: the proof is to have another name, or there is nothing of that name to compare with.
        FormatError: a file cannot be read.
    """
    if data is None and expect is not None:
        raise UsageError("--expect gives the outputs for the inputs of --data; give both")
    if against not in (None, "keras"):
        raise InvalidArgumentError(f"--against expects keras; received {against!r}")
    path = None if proof is None else Path(proof)
    if path is not None and path.suffix != ".npz":
        raise InvalidArgumentError(f"cannot write {path}: expected a name that ends in .npz")
    inputs = None if data is None else NamedArrays(*read(data, "data"))
    expected = None if expect is None else NamedArrays(*read(expect, "expect"))
    recorder = None if path is None else ProofRecorder(path)
    return Evidence(None if inputs is None else UserData(inputs, expected), recorder, against is not None)
