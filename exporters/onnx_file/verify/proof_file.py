"""Proofs that travel: what a file was verified with, to be checked again on any machine.

`docs/proof.md` has the format. A proof is a `.npz` file of plain arrays. It holds the inputs of each probe, the float64
results and the allowed error of each element, and, as JSON, the digests of the model file and of its external data and
what was said of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kir import __version__
from kir.errors import FormatError, LimitError
from kir.exporters.onnx_file.session import import_onnxruntime
from kir.exporters.onnx_file.verify.rows import DataProbe, as_kind
from kir.exporters.onnx_file.write import ExportReport
from kir.ir.op import Array
from kir.ir.types import DType
from kir.numerics.alternatives import right_instead
from kir.numerics.compare import Run
from kir.numerics.expected import Expected
from kir.numerics.report import Finding, Statement, VerificationReport
from kir.support.text import counted, format_bytes

FORMAT, VERSION = "kir proof", 1
DOCUMENT = "json"
# Of all arrays of a proof, unpacked. It is what reads a proof anywhere at once, and is enough for dozens of images.
MAX_PROOF_BYTES = 64 << 20


@dataclass(frozen=True)
class Record:
    """One probe: its inputs, and what is right for each output."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, RightOutput]


@dataclass(frozen=True)
class RightOutput:
    """What is right for an output: `expected` within `allowed`, or an element of `also`."""

    expected: Array
    allowed: Array
    also: tuple[Array, ...]

    def to_expected(self, actual: Array) -> Expected:
        """Return what to expect of an output, where what is right because of `also` may be anything."""
        special = np.zeros(0)
        if self.expected.dtype.kind == "f":
            special = np.where(np.isfinite(self.expected), 0, self.expected)
        allowed = self.allowed
        for array in self.also if actual.shape == allowed.shape else ():
            same = np.asarray(actual == array)
            if array.dtype.kind == "f":
                same |= np.isnan(array) & np.isnan(actual.astype(np.float64))
            allowed = np.where(same, np.inf, allowed)
        return Expected(self.expected, allowed, (special,) if special.any() else ())


@dataclass(frozen=True)
class Proof:
    """What a proof holds: its JSON, its probes, and what the verification that wrote it could not show and noted."""

    document: Mapping[str, Any]
    records: Sequence[Record]
    not_shown: Sequence[Finding] = ()
    notes: Sequence[Finding] = ()


# Recording


class ProofRecorder:
    """Records the runs of a verification, to be written to `path` in the end; a `Part`.

    The user's own data are not recorded: a proof is given away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, Array] = {}
        self.inputs: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.probes = 0
        self._bytes = self._too_large = self._private = 0

    def add(self, run: Run) -> None:
        if isinstance(run.probe, DataProbe):
            self._private += 1
            return
        self.inputs |= {name: _type_of(array) for name, array in run.feeds.items() if name not in self.inputs}
        self.outputs |= {name: _type_of(array) for name, array in run.outputs.items()}
        arrays = dict(self._arrays_of(run))
        size = sum(array.nbytes for array in arrays.values())
        if self._bytes + size > MAX_PROOF_BYTES:
            self._too_large += 1
            return
        self.arrays |= arrays
        self.probes += 1
        self._bytes += size

    def _arrays_of(self, run: Run) -> Iterator[tuple[str, Array]]:
        inputs, outputs = list(self.inputs), list(self.outputs)
        for name, array in run.feeds.items():
            yield f"{self.probes}.input.{inputs.index(name)}", _storable(array)
        for name, expected in run.expected.items():
            expected = expected.whole()
            place = f"{self.probes}.{{}}.{outputs.index(name)}"
            yield place.format("expected"), _storable(expected.reference)
            yield place.format("allowed"), _rounded_up(expected.allowed)
            for index, also in enumerate(right_instead(expected, run.outputs[name].dtype)):
                yield f"{place.format('also')}.{index}", _storable(also)

    def statement(self) -> Statement:
        covered = f"{counted(self.probes, 'probe')} recorded, {format_bytes(self._bytes)} unpacked"
        if self._too_large:
            most = format_bytes(MAX_PROOF_BYTES)
            covered += f"; {counted(self._too_large, 'probe')} left out, to stay within {most}"
        if self._private:
            covered += "; your own data are left out"
        return Statement("proof", covered)

    def write(self, path: Path, file: ExportReport, report: VerificationReport) -> None:
        """Write the proof of a file that was verified. The same content gives the same bytes.

        Raises:
            LimitError: every probe is too large.
        """
        if not self.probes:
            raise LimitError(
                f"each probe has more than the {format_bytes(MAX_PROOF_BYTES)} that a proof may have; give smaller "
                "sizes (--batch, --input-shapes), or do without (--proof)"
            )
        data = [] if file.data_path is None else [digest_of(file.data_path)]
        document = {
            "format": FORMAT,
            "version": VERSION,
            "file": digest_of(file.path),
            "data": data,
            "opset": file.opset,
            "seed": report.seed,
            "provider": report.provider,
            "method": report.method,
            "versions": _versions(),
            "probes": self.probes,
            "inputs": [{"name": name, "type": type} for name, type in self.inputs.items()],
            "outputs": [{"name": name, "type": type} for name, type in self.outputs.items()],
            "statements": [statement.to_json() for statement in report.statements],
            "notes": [note.to_json() for note in report.notes],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False).encode()
        arrays: dict[str, Any] = {DOCUMENT: np.frombuffer(text, np.uint8), **self.arrays}
        with open(path, "wb") as written:
            np.savez_compressed(written, **arrays)


def digest_of(path: Path) -> dict[str, str]:
    """Return the name of a file and the SHA-256 of its content.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from error


def _versions() -> dict[str, str]:
    return {
        "kir": __version__,
        "onnxruntime": import_onnxruntime().__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _type_of(array: Array) -> str:
    kind = as_kind(array.dtype)
    assert kind is not None, "what onnxruntime takes and gives must be handled"
    return kind.keras_name


def _storable(array: Array) -> Array:
    """Return an array as `.npz` files hold it without pickling: texts of fixed length, and no bfloat16."""
    if array.dtype == object:
        return array.astype(str)
    return array if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8 else array.astype(np.float32)


def _rounded_up(allowed: Array) -> Array:
    with np.errstate(over="ignore"):
        single = allowed.astype(np.float32)
    return np.where(single < allowed, np.nextafter(single, np.float32(np.inf)), single)


# Reading


def read_proof(arrays: Mapping[str, Array], parse: Callable[[bytes, str, str], Any], label: str) -> Proof:
    """Return a proof from its arrays, which may be anything.

    Args:
        arrays: of the `.npz` file.
        parse: gives a JSON document, or raises FormatError.
        label: what messages call the file.

    Raises:
        FormatError: it is no proof.
    """
    try:
        document = parse(arrays[DOCUMENT].tobytes(), f"the JSON of {label}", "that of a proof of kir")
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it is {document['format']!r} of version {document['version']!r}")
        types = {key: {str(one["name"]): DType[one["type"].upper()] for one in document[key]} for key in SIDES}
        if not all(isinstance(one[key], str) for one in _digests(document) for key in ("name", "sha256")):
            raise ValueError("a digest is no text")
        records = _read_records(arrays, document["probes"], types["inputs"], types["outputs"])
        notes = tuple(Finding(f"{WHEN_WRITTEN}: {_finding(one)}") for one in document["notes"])
        return Proof(document, records, tuple(_not_shown(document["statements"])), notes)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise FormatError(f"{label} is no proof that kir wrote: {reason}; write it anew (kir export --proof)") from None


SIDES = ("inputs", "outputs")
WHEN_WRITTEN = "when the proof was written"


def _digests(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [document["file"], *document["data"]]


def _not_shown(statements: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what the verification that wrote a proof could not show, from its statements."""
    for said in statements:
        findings = [_finding(one) for one in said["not_shown"]]
        if said["not_run"]:
            findings.append(Finding(f"not run: {said['not_run']}"))
        for finding in findings:
            yield Finding(f"{WHEN_WRITTEN}: {said['part']}: {finding}")


def _finding(said: Mapping[str, Any]) -> Finding:
    return Finding(said["text"], said["layer"], said["op"], said["tensor"])


def _read_records(
    arrays: Mapping[str, Array], probes: object, inputs: Mapping[str, DType], outputs: Mapping[str, DType]
) -> list[Record]:
    """Return the probes, of which there must be so many. Raises KeyError or ValueError."""
    by_probe: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        if key != DOCUMENT:
            probe, _, kind = key.partition(".")
            by_probe.setdefault(probe, {})[kind] = array
    if not by_probe or list(by_probe) != [str(index) for index in range(len(by_probe))] or probes != len(by_probe):
        raise ValueError(f"it has arrays of {counted(len(by_probe), 'probe')}, and says {probes!r}")
    return [_read_record(own, list(inputs.items()), list(outputs.items())) for own in by_probe.values()]


def _read_record(
    own: Mapping[str, Array], inputs: Sequence[tuple[str, DType]], outputs: Sequence[tuple[str, DType]]
) -> Record:
    feeds, right = {}, {}
    for kind in own:
        role, _, place = kind.partition(".")
        if role == "input":  # those with a default may be left out
            name, dtype = inputs[int(place)]
            feeds[name] = _restored(own, kind, dtype)
    for index, (name, dtype) in enumerate(outputs):
        wide = DType.FLOAT64 if dtype.is_float else dtype
        expected = _restored(own, f"expected.{index}", wide)
        allowed = _restored(own, f"allowed.{index}", DType.FLOAT32).astype(np.float64)
        also: list[Array] = []
        while (another := f"also.{index}.{len(also)}") in own:
            also.append(_restored(own, another, wide))
        if any(one.shape != expected.shape for one in (allowed, *also)) or not (allowed >= 0).all():
            raise ValueError(f"the arrays of {name!r} do not go together")
        right[name] = RightOutput(expected, allowed, tuple(also))
    return Record(feeds, right)


def _restored(own: Mapping[str, Array], key: str, dtype: DType) -> Array:
    """Return an array of a probe in its own dtype."""
    array, stored = own[key], DType.FLOAT32 if dtype is DType.BFLOAT16 else dtype
    if as_kind(array.dtype) is not stored:
        raise ValueError(f"{key} is {array.dtype}, expected {stored.keras_name}")
    return array.astype(dtype.numpy)
