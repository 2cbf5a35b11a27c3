"""Proofs: what is recorded, that only right files pass, and that a hostile one is refused in words."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kir
from kir.config import lost_masks
from kir.errors import FormatError, InvalidArgumentError, LimitError, MismatchError, ProviderError, UsageError
from kir.exporters.onnx_file.verify import proof_file
from kir.ir.op import Array
from kir.layers import LSTM, Dense, Embedding, Flatten, Input, Masking, StringLookup
from kir.numerics.alternatives import right_instead
from kir.numerics.compare import compare
from kir.numerics.expected import Expected

CHECKER = Path(__file__).parents[4] / "docs" / "check_proof.py"


def classifier() -> kir.Model:
    return kir.Sequential([Input((4,), name="x"), Dense(3, activation="tanh"), Dense(2, name="y")], name="classifier")


def words() -> kir.Model:
    text = Input((None,), dtype="string", name="text")
    lookup = StringLookup(vocabulary=["a", "zebra"], mask_token="", name="lookup")
    indices = lookup(text)
    return kir.Model(text, [Embedding(4, 2, name="vectors")(indices), indices])


def masked() -> kir.Model:
    return kir.Sequential([Input((None, 3), name="x"), Masking(), LSTM(2, name="y")])


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "model.onnx", tmp_path / "model.proof.npz"


def check_anywhere(file: Path, proof: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(CHECKER), str(file), str(proof), *more], capture_output=True, text=True)


def change_weight(file: Path, by: float) -> None:
    model = onnx.load(file)
    weight = next(one for one in model.graph.initializer if len(one.dims) == 2)
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[1] *= 1 + by
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, file)


def rewrite(proof: Path, change: Callable[[dict[str, Any], dict[str, Array]], object]) -> None:
    with np.load(proof) as opened:
        arrays = dict(opened)
    document = json.loads(arrays["json"].tobytes())
    change(document, arrays)
    arrays["json"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    np.savez(proof, **arrays)


@pytest.mark.parametrize("make", [classifier, words, masked])
def test_a_right_file_passes_here_and_anywhere(make: Callable[[], kir.Model], paths: tuple[Path, Path]) -> None:
    file, proof = paths
    result = kir.export(make(), file, proof=proof)
    report = kir.check_proof(file, proof)
    assert report.passed
    assert not report.not_shown
    assert f"{report.runs} probes recorded" in str(result)
    checked = check_anywhere(file, proof)
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) == report.runs * len(report.outputs)


def test_what_was_not_shown_at_the_export_is_not_shown_by_the_proof(paths: tuple[Path, Path]) -> None:
    file, proof = paths
    dead = kir.Sequential([Input((4,), name="x"), Dense(2, kernel_initializer="zeros", name="y")])
    verification = kir.export(dead, file, proof=proof).verification
    assert verification is not None
    (part, finding), *_ = verification.not_shown
    report = kir.check_proof(file, proof)
    assert report.passed
    assert report.not_shown[0][1].text == f"when the proof was written: {part}: {finding}"
    assert not kir.check_proof(file, proof, strict=True).passed


def test_external_data_is_part_of_the_proof(paths: tuple[Path, Path]) -> None:
    file, proof = paths
    model = kir.Sequential([Input((4,), name="x"), Dense(400, activation="tanh"), Dense(2, name="y")])
    result: Any = kir.export(model, file, proof=proof, external_data="yes")
    assert kir.check_proof(file, proof).passed
    assert check_anywhere(file, proof).returncode == 0
    data = result.file.data_path
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    report = kir.check_proof(file, proof)
    assert f"{data} has changed since the proof was written" in str(report)
    assert not report.passed
    assert check_anywhere(file, proof).returncode == 1


def test_a_changed_weight_is_seen_by_digest_and_by_results(paths: tuple[Path, Path]) -> None:
    file, proof = paths
    kir.export(classifier(), file, proof=proof)
    change_weight(file, 1e-3)
    report = kir.check_proof(file, proof)
    assert {part for part, _ in report.problems} == {"proof", "outputs"}
    assert check_anywhere(file, proof).returncode == 1
    digest = proof_file.digest_of(file)
    rewrite(proof, lambda document, arrays: document.update(file=digest))
    assert {part for part, _ in kir.check_proof(file, proof).problems} == {"outputs"}
    checked = check_anywhere(file, proof)
    assert checked.returncode == 1
    assert "0 of 2 elements are right" in checked.stdout or "1 of 2 elements are right" in checked.stdout


def test_another_file_and_another_provider(paths: tuple[Path, Path], tmp_path: Path) -> None:
    file, proof = paths
    kir.export(classifier(), file, proof=proof)
    other = tmp_path / "other.onnx"
    kir.export(masked(), other)
    report = kir.check_proof(other, proof)
    assert {part for part, _ in report.problems} == {"proof"}
    assert "is another file" in str(report)
    assert "onnxruntime fails on inputs that the model takes (x (1, 4))" in str(report)
    kir.export(words(), other)
    assert "the proof is of a file with the input x: float32; this one has none" in str(kir.check_proof(other, proof))
    with pytest.raises(ProviderError):
        kir.check_proof(file, proof, provider="cuda")
    assert check_anywhere(file, proof, "CPUExecutionProvider").returncode == 0


def test_what_cannot_be_checked_is_not_wrong(paths: tuple[Path, Path], tmp_path: Path) -> None:
    file, proof = paths
    kir.export(classifier(), file, proof=proof)
    text = tmp_path / "text.npz"
    text.write_text("no proof")
    for arguments, reason in (
        ((file, proof, "CUDAExecutionProvider"), "CUDAExecutionProvider cannot be used"),
        ((file, text), "NOT CHECKED"),
        ((tmp_path / "none.onnx", proof), "No such file"),
        ((file,), "python check_proof.py model.onnx"),
    ):
        checked = subprocess.run([sys.executable, CHECKER, *arguments], capture_output=True, text=True)
        assert (checked.returncode, checked.stdout) == (2, "")
        assert reason in checked.stderr


def test_notes_travel_with_the_proof(paths: tuple[Path, Path]) -> None:
    file, proof = paths
    with lost_masks("warn"), pytest.warns(UserWarning, match="the mask ends here"):
        model = kir.Sequential([Input((3, 4), name="x"), Masking(), Flatten(name="flat"), Dense(2, name="y")])
    kir.export(model, file, proof=proof)
    report = kir.check_proof(file, proof, strict=True)
    assert report.passed
    mask, weights = sorted(str(note) for note in report.notes)
    assert mask.startswith("when the proof was written: layer flat (Flatten): a mask ended here")
    assert weights.startswith("when the proof was written: weights of the model: random")


def test_the_same_export_gives_the_same_bytes_and_no_own_data(paths: tuple[Path, Path], tmp_path: Path) -> None:
    file, proof = paths
    model, own = classifier(), np.full((5, 4), 0.123456, np.float32)
    kir.export(model, file, proof=proof, data=own)
    first = proof.read_bytes()
    kir.export(model, file, proof=proof, data=own)
    assert proof.read_bytes() == first
    with np.load(proof) as arrays:
        inputs = [arrays[key] for key in arrays if ".input." in key]
    assert not any(np.float32(0.123456) in array for array in inputs)
    assert kir.check_proof(file, proof).passed


def test_a_failed_export_leaves_neither(paths: tuple[Path, Path]) -> None:
    file, proof = paths
    model = classifier()
    with pytest.raises(MismatchError):
        kir.export(model, file, proof=proof, data=np.ones((1, 4)), expect=np.full((1, 2), 1e6))
    assert list(file.parent.iterdir()) == []
    with pytest.raises(FormatError):
        kir.export(model, file, proof=proof.parent / "none" / "p.npz")
    with pytest.raises(InvalidArgumentError, match=r"ends in \.npz"):
        kir.export(model, file, proof=file.with_suffix(".zip"))
    with pytest.raises(UsageError, match="--proof is for ONNX files that are verified"):
        kir.export(model, file, proof=proof, verify=False)
    assert list(file.parent.iterdir()) == []


def test_probes_that_are_too_large_are_left_out(paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file, proof = paths
    monkeypatch.setattr(proof_file, "MAX_PROOF_BYTES", 100)
    result = kir.export(classifier(), file, proof=proof)
    assert "left out, to stay within 100 B" in str(result)
    assert kir.check_proof(file, proof).passed
    monkeypatch.setattr(proof_file, "MAX_PROOF_BYTES", 10)
    with pytest.raises(LimitError, match="each probe has more than"):
        kir.export(classifier(), file, proof=proof)


HOSTILE: Mapping[str, Callable[[dict[str, Any], dict[str, Array]], object]] = {
    "another format": lambda document, arrays: document.update(format="other"),
    "another version": lambda document, arrays: document.update(version=2),
    "no probes": lambda document, arrays: [arrays.pop(key) for key in list(arrays) if key != "json"],
    "too many probes": lambda document, arrays: document.update(probes=10**9),
    "probes of no number": lambda document, arrays: document.update(probes="3"),
    "no notes": lambda document, arrays: document.pop("notes"),
    "notes of no list": lambda document, arrays: document.update(notes=3),
    "no statements": lambda document, arrays: document.pop("statements"),
    "statements of no list": lambda document, arrays: document.update(statements=3),
    "no inputs": lambda document, arrays: document.pop("inputs"),
    "inputs of no list": lambda document, arrays: document.update(inputs=3),
    "unknown type": lambda document, arrays: document["inputs"][0].update(type="complex64"),
    "no digest": lambda document, arrays: document.update(file={"name": "x"}),
    "a digest of no text": lambda document, arrays: document.update(file={"name": "x", "sha256": 3}),
    "data of no list": lambda document, arrays: document.update(data=3),
    "an input of another dtype": lambda document, arrays: arrays.update({"0.input.0": np.zeros(3)}),
    "an input without a name": lambda document, arrays: arrays.update({"0.input.7": np.zeros(3, np.float32)}),
    "results of another dtype": lambda document, arrays: arrays.update({"0.expected.0": np.zeros(2, np.float32)}),
    "other shapes": lambda document, arrays: arrays.update({"0.allowed.0": np.zeros(7, np.float32)}),
    "NaN allowed": lambda document, arrays: arrays.update({"0.allowed.0": np.full((1, 2), np.nan, np.float32)}),
    "no result": lambda document, arrays: arrays.pop("0.expected.0"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof")
    kir.export(classifier(), folder / "model.onnx", proof=folder / "model.proof.npz")
    return folder


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_proof_is_refused_in_words(change: Any, written: Path, tmp_path: Path) -> None:
    proof = tmp_path / "p.npz"
    shutil.copy(written / "model.proof.npz", proof)
    rewrite(proof, change)
    with pytest.raises(FormatError, match=r"p\.npz is no proof that kir wrote: "):
        kir.check_proof(written / "model.onnx", proof)


def test_broken_and_pickled_files_are_refused(written: Path, tmp_path: Path) -> None:
    proof, objects = tmp_path / "p.npz", io.BytesIO()
    np.savez(objects, json=np.array([{}], object))
    for content in (b"", b"PK", objects.getvalue(), (written / "model.proof.npz").read_bytes()[:-50]):
        proof.write_bytes(content)
        with pytest.raises(FormatError):
            kir.check_proof(written / "model.onnx", proof)
    np.savez(proof, json=np.frombuffer(b"[" * 100_000, np.uint8))
    with pytest.raises(FormatError, match="nested too deeply"):
        kir.check_proof(written / "model.onnx", proof)


def test_a_proof_that_says_nothing_shows_nothing(written: Path, tmp_path: Path) -> None:
    proof = tmp_path / "p.npz"
    shutil.copy(written / "model.proof.npz", proof)

    def allow_all(document: object, arrays: dict[str, Array]) -> None:
        arrays.update({key: np.full_like(one, np.inf) for key, one in arrays.items() if ".allowed." in key})

    rewrite(proof, allow_all)
    report = kir.check_proof(written / "model.onnx", proof)
    assert report.not_shown[0][1].text == "the proof says of no element what it should be"


NAN, INF = float("nan"), float("inf")
ALSO_RIGHT: list[tuple[Expected, list[float]]] = [
    (Expected(np.array([1e5, 2.0]), np.array([1e3, 1.0]), (np.array([NAN, 0.0]),)), [NAN, 2.0]),
    (Expected(np.array([1e5, 2.0]), np.array([1e3, 1.0]), (np.array([NAN, 0.0]),)), [INF, 2.0]),
    (Expected(np.array([1e5, 2.0]), np.array([1e3, 1.0]), (np.array([NAN, 0.0]),)), [1e5, NAN]),
    (Expected(np.array([3.0, 2.0]), np.array([1.0, 1.0]), (np.array([INF, 0.0]),)), [NAN, 2.5]),
    (Expected(np.array([3.0, 2.0]), np.array([1.0, 1.0]), (np.array([INF, 0.0]),)), [-INF, 2.5]),
    (Expected(np.array([3.0, 2.0]), np.array([0.1, 0.1]), vanishing=np.array([True, False])), [0.0, 2.0]),
    (Expected(np.array([3.0, 2.0]), np.array([0.1, 0.1]), vanishing=np.array([True, False])), [3.0, 0.0]),
    (Expected(np.array([3.0, 2.0]), np.array([0.1, 0.1]), unmoved=lambda: np.array([9, 2], np.float16)), [9.0, 2.0]),
    (Expected(np.array([3.0, 2.0]), np.array([0.1, 0.1]), unmoved=lambda: np.array([NAN, 2], np.float16)), [INF, 2.0]),
    (Expected(np.array([3.0, 2.0]), np.array([0.1, 0.1])), [3.05, 2.2]),
    (Expected(np.array([NAN, INF]), np.array([0.0, 0.0]), (np.array([NAN, INF]),)), [NAN, INF]),
    (Expected(np.array([NAN, INF]), np.array([0.0, 0.0]), (np.array([NAN, INF]),)), [INF, NAN]),
    (Expected(np.array([3.0, 2.0]), np.array([INF, 0.1])), [77.0, 2.0]),
]


@pytest.mark.parametrize(("expected", "found"), ALSO_RIGHT)
def test_a_proof_calls_right_what_a_verification_does(expected: Expected, found: list[float]) -> None:
    with np.errstate(over="ignore"):
        actual = np.array(found).astype(np.float16)
    also = tuple(right_instead(expected, actual.dtype))
    recorded = proof_file.RightOutput(expected.reference, expected.allowed, also)
    assert compare("y", recorded.to_expected(actual), actual).passed == compare("y", expected, actual).passed


def test_the_checker_is_short() -> None:
    assert len(CHECKER.read_text().splitlines()) <= 50
