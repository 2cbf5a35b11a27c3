"""The user's own arrays: which are taken, how they are cut, and what is said of what the user expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kir
from kir.errors import InvalidArgumentError, MismatchError, ShapeError, UsageError
from kir.exporters.onnx_file.verify import rows as rows_module
from kir.ir.op import Array
from kir.ir.types import DType
from kir.layers import Concatenate, Dense, Embedding, GlobalMaxPooling1D, Input
from kir.numerics.report import Statement


def classifier(batch: int | None = None) -> kir.Model:
    return kir.Sequential([Input((4,), batch_size=batch, name="x"), Dense(3, activation="tanh"), Dense(2, name="y")])


def two_inputs() -> kir.Model:
    words, size = Input((None,), dtype="int32", name="words"), Input((1,), name="size")
    pooled = GlobalMaxPooling1D()(Embedding(10, 3)(words))
    return kir.Model([words, size], [Dense(2, name="y")(Concatenate()([pooled, size])), pooled])


X: Array = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def statement(result: Any, part: str = "data") -> Statement:
    return next(one for one in result.verification.statements if one.part == part)


def test_all_rows_are_used_and_what_is_right_agrees(target: Path) -> None:
    model = classifier()
    result: Any = kir.export(model, target, data={"x": X}, expect={"y": np.asarray(model.predict(X))})
    said, expected = statement(result), statement(result, "expect")
    assert said.passed
    assert expected.passed
    assert "64 rows of data in 1 run: largest error of the file 0." in said.covered
    assert "1 output of expect for these rows: largest error 0." in expected.covered
    for part in ("passes", "operators"):
        assert "on 3 probes and 1 run of your data" in statement(result, part).covered
    assert "(batch 1, 2 and 11) and 1 run of your data, against" in statement(result, "outputs").covered


@pytest.mark.parametrize("compressed", [False, True])
def test_files_by_name_and_in_order(target: Path, compressed: bool, tmp_path: Path) -> None:
    model, save = classifier(), np.savez_compressed if compressed else np.savez
    save(tmp_path / "in.npz", x=X)
    save(tmp_path / "out.npz", np.asarray(model.predict(X)))
    np.save(tmp_path / "in.npy", np.asfortranarray(X))
    kir.export(model, target)
    for name in ("in.npz", "in.npy"):
        report = kir.verify(model, target, data=tmp_path / name, expect=tmp_path / "out.npz")
        assert report.passed
        assert f"64 rows of {name}" in str(report)


def test_what_is_expected_wrongly_fails_with_its_rows(target: Path) -> None:
    model = classifier()
    expected = np.asarray(model.predict(X)).copy()
    expected[[5, 60], 1] += 1e-4
    with pytest.raises(MismatchError, match=r"y: expect differs in 2 rows \(5, 60\); worst at \[.*the file"):
        kir.export(model, target, data=X, expect=expected)
    assert not target.exists()


def test_what_is_expected_wrongly_is_not_called_wrong_in_the_file(target: Path, tmp_path: Path) -> None:
    model, other = classifier(), tmp_path / "other.onnx"
    kir.export(model, target)
    kir.export(classifier(), other)
    expected = np.asarray(model.predict(X)) + 1
    head = str(kir.verify(model, target, data=X, expect=expected)).partition("\n")[0]
    assert head == (
        "MISMATCH with what --expect gives; the file computes what kir takes the model to mean, verified in "
        "onnxruntime (cpu), seed 0"
    )
    both = kir.verify(model, other, data=X, expect=expected)
    assert {"outputs", "data", "expect"} <= {part for part, _ in both.problems}
    assert str(both).startswith("MISMATCH in onnxruntime (cpu), seed 0")


def test_a_file_that_is_wrong_on_these_rows_fails(target: Path) -> None:
    model = classifier()
    kir.export(model, target)
    other = kir.Sequential([Input((4,), name="x"), Dense(3, activation="tanh"), Dense(2, name="y")])
    other.set_weights([np.asarray(weight) * 1.001 for weight in model.get_weights()])
    said = next(one for one in kir.verify(other, target, data=X).statements if one.part == "data")
    assert "the file differs in 64 rows (0, 1, 2, 3, 4, …)" in str(said.problems[0])


def test_many_rows_run_in_pieces(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "PIECE_BYTES", 4_000)
    model = classifier()
    expected = np.asarray(model.predict(X)).copy()
    said = statement(kir.export(model, target, data=X, expect=expected))
    assert "64 rows of data in 4 runs" in said.covered
    expected[50, 0] = np.nan
    with pytest.raises(MismatchError, match=r"differs in 1 row \(50\); worst at \[50, 0\]: nan"):
        kir.export(model, target, data=X, expect=expected)


def test_a_fixed_batch_runs_as_often_as_the_rows_need(target: Path) -> None:
    assert "64 rows of data in 8 runs" in statement(kir.export(classifier(8), target, data=X)).covered
    with pytest.raises(ShapeError, match="has 63 rows, and the model's batch is fixed to 8"):
        kir.export(classifier(8), target, data=X[:63])


def test_several_inputs_and_some_outputs(target: Path) -> None:
    model, words, size = two_inputs(), np.arange(12).reshape(4, 3) % 10, np.ones((4, 1))
    expected = model.predict([words.astype(np.int32), size.astype(np.float32)])
    result = kir.export(model, target, data=[words, size], expect={"y": expected[0].astype(np.float16)})
    said = statement(result)
    assert said.passed
    assert "words: int64 converted to int32, size: float64 converted to float32" in said.covered
    assert "1 output of expect (y)" in statement(result, "expect").covered


def test_texts_and_sparse_tensors(target: Path) -> None:
    text, ratings = Input((None,), dtype="string", name="text"), Input((4,), sparse=True, name="ratings")
    words = kir.Model(text, kir.layers.StringLookup(vocabulary=["a", "b"], name="y")(text))
    given, expected = np.array([["a", "zz"], ["b", "a"]]), np.array([[1, 0], [2, 1]])
    assert statement(kir.export(words, target, data=given, expect=expected), "expect").passed
    parts = {"ratings.indices": [[0, 1], [2, 3]], "ratings.values": [1.0, 2.0], "ratings.shape": [3, 4]}
    assert statement(kir.export(kir.Model(ratings, Dense(2)(ratings)), target, data=parts)).passed


def test_nan_is_fed_as_it_is(target: Path) -> None:
    given = X.copy()
    given[3] = np.nan
    assert statement(kir.export(classifier(), target, data=given)).passed


def test_two_onnx_files_and_data(target: Path, tmp_path: Path) -> None:
    model, other = classifier(), tmp_path / "other.onnx"
    kir.export(model, target)
    kir.export(model, other, level=0)
    report = kir.verify(target, other, data=X, expect=model.predict(X))
    assert report.passed
    assert "64 rows of data" in str(report)
    assert not kir.verify(target, other, data=X, expect=np.asarray(model.predict(X)) + 0.1).passed


WRONG: list[tuple[Any, type[Exception], str]] = [
    ({"z": X}, InvalidArgumentError, r"data has nothing for x; expected an array for each input: x: f32\[batch, 4\]"),
    ({"x": X, "z": X}, InvalidArgumentError, "data has z, which is unknown"),
    ([X, X], InvalidArgumentError, "data holds 2 arrays"),
    (X[0], ShapeError, r"'x' is float32\[4\], which does not fit.*it has no axis for the batch: give array\[None\]"),
    (X[:, :3], ShapeError, "expected size 4, received 3"),
    (X[None], ShapeError, r"float32\[1, 64, 4\], which does not fit f32\[batch, 4\]; expected an array"),
    (X[:0], ShapeError, "data has no rows"),
    (np.full((2, 4), "a"), InvalidArgumentError, "is <U1; expected float32"),
    (np.full((2, 4), 1e300), InvalidArgumentError, r"1e\+300 at \[0, 0\] is no float32"),
    (np.full((2, 4), 2**24 + 1), InvalidArgumentError, r"is int64, and 16777217 at \[0, 0\] is no float32"),
]


@pytest.mark.parametrize(("data", "error", "message"), WRONG)
def test_what_does_not_fit_is_refused(target: Path, data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kir.export(classifier(), target, data=data)
    assert not target.exists()


def test_expected_outputs_that_do_not_fit_are_refused(target: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="has z, which is unknown"):
        kir.export(classifier(), target, data=X, expect={"z": X})
    with pytest.raises(ShapeError, match="'y' has 63 rows; expected 64"):
        kir.export(classifier(), target, data=X, expect=X[:63, :2])
    with pytest.raises(MismatchError, match=r"shape \(64, 3\), expected \(64, 2\)"):
        kir.export(classifier(), target, data=X, expect=X[:, :3])


def test_options_that_do_not_go_together(target: Path) -> None:
    with pytest.raises(UsageError, match="--data, --expect is for ONNX files that are"):
        kir.export(classifier(), target.with_suffix(".py"), data=X, expect=X)
    with pytest.raises(UsageError, match="--data is for ONNX files that are verified"):
        kir.export(classifier(), target, data=X, verify=False)
    with pytest.raises(UsageError, match="give both"):
        kir.export(classifier(), target, expect=X)


@pytest.mark.parametrize(
    ("array", "dtype", "expected"),
    [
        (np.array([1.0, 2.0]), DType.INT32, np.array([1, 2], np.int32)),
        (np.array([0, 255], np.uint8), DType.FLOAT32, np.array([0, 255], np.float32)),
        (np.array([0, 1]), DType.BOOL, np.array([False, True])),
        (np.array([0.1]), DType.FLOAT16, np.array([0.1], np.float16)),
        (np.array([b"a", b"\xce\x91"]), DType.STRING, np.array(["a", "Α"], object)),
        (np.array([1, 2], ">i8"), DType.INT64, np.array([1, 2])),
    ],
)
def test_conversions(array: Array, dtype: DType, expected: Array) -> None:
    converted = rows_module.convert(array, dtype, "x")
    assert converted.dtype == expected.dtype
    np.testing.assert_array_equal(converted, expected)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([0.5]), DType.INT32),
        (np.array([np.nan]), DType.INT32),
        (np.array([2**31]), DType.INT32),
        (np.array([-1]), DType.UINT8),
        (np.array([2]), DType.BOOL),
        (np.array([1j]), DType.FLOAT32),
    ],
)
def test_conversions_that_change_something_are_refused(array: Array, dtype: DType) -> None:
    with pytest.raises(InvalidArgumentError):
        rows_module.convert(array, dtype, "x")
