"""Checking a file against a proof: without the model, and on any provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kir.errors import MismatchError
from kir.exporters.onnx_file.session import fallback_nodes, make_session
from kir.exporters.onnx_file.verify.proof_file import Proof, digest_of
from kir.exporters.onnx_file.verify.runs import run_checked
from kir.exporters.onnx_file.verify.signature import session_inputs, session_outputs
from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.numerics.compare import RunComparison
from kir.numerics.report import Finding, Statement, VerificationReport
from kir.support.text import counted

METHOD = "results of the proof, within the errors that it allows"


def check_proof(file: Path, proof: Proof, label: str, provider: str = "cpu") -> VerificationReport:
    """Compare a file with a proof: its digest, and what onnxruntime computes from the recorded inputs.

    Args:
        file: an ONNX file.
        proof: what `read_proof` gave.
        label: what messages call it.
        provider: as in `verify_file`.

    Raises:
        FormatError: the file, or its external data, cannot be read.
        ProviderError: the provider is not installed.
        CrashError: onnxruntime dies of the file.
    """
    changed = list(_changed_files(file, proof))
    session = make_session(file, provider)
    problems = [*changed, *_other_signature(proof, session_inputs(session), session_outputs(session))]
    comparison, feeds = RunComparison(), {}
    # Other inputs could not be fed, nor other outputs compared.
    for record in proof.records if len(problems) == len(changed) else ():
        feeds = dict(record.inputs)
        try:
            outputs = run_checked(session, feeds)
        except MismatchError as error:
            problems.append(Finding(str(error)))
            break
        comparison.add({name: right.to_expected(outputs[name]) for name, right in record.outputs.items()}, outputs)
    versions = proof.document.get("versions")
    of_kir = versions.get("kir", "?") if isinstance(versions, Mapping) else "?"
    covered = f"{counted(comparison.runs, 'probe')} of {label}, which kir {of_kir} recorded"
    return VerificationReport(
        comparison.reports(),
        comparison.runs,
        provider,
        _seed(proof),
        METHOD,
        (Statement("proof", covered, tuple(problems), (*_unsettled(proof), *proof.not_shown)),),
        (*_fallback(file, feeds, provider), *proof.notes),
    )


def _unsettled(proof: Proof) -> Iterator[Finding]:
    """Yield the outputs for which every result would be right."""
    for one in proof.document["outputs"]:
        right = [record.outputs[one["name"]] for record in proof.records]
        if not any(np.isfinite(output.allowed).any() for output in right):
            yield Finding("the proof says of no element what it should be", tensor=one["name"])


def _changed_files(file: Path, proof: Proof) -> Iterator[Finding]:
    """Yield which files have other content than when the proof was written."""
    for recorded in proof.document["data"]:
        # Whatever the proof says, the data of a file lie beside it.
        yield from _changed(file.resolve().with_name(Path(recorded["name"]).name), recorded["sha256"])
    yield from _changed(file, proof.document["file"]["sha256"])


def _changed(file: Path, recorded: str) -> Iterator[Finding]:
    found = digest_of(file)["sha256"]
    if found != recorded:
        yield Finding(
            f"{file} has changed since the proof was written, or is another file: its SHA-256 is {found[:16]}…, and "
            f"the proof is of {recorded[:16]}…"
        )


def _other_signature(
    proof: Proof, inputs: Mapping[str, TensorType], outputs: Mapping[str, TensorType]
) -> Iterator[Finding]:
    """Yield which inputs and outputs of the proof the file lacks or has in another dtype."""
    for role, found in (("input", inputs), ("output", outputs)):
        for one in proof.document[f"{role}s"]:
            type = found.get(one["name"])
            if type is None or type.dtype.keras_name != one["type"]:
                has = "none" if type is None else str(type)
                yield Finding(
                    f"the proof is of a file with the {role} {one['name']}: {one['type']}; this one has {has}"
                )


def _seed(proof: Proof) -> int:
    seed = proof.document.get("seed")
    return seed if isinstance(seed, int) else 0


def _fallback(file: Path, feeds: dict[str, Array], provider: str) -> Iterator[Finding]:
    for node in fallback_nodes(file, feeds, provider) if feeds else ():
        yield Finding(f"ran on the CPU instead of {provider}", tensor=node)
