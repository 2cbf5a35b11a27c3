"""Batches that are run in onnxruntime alone: rows come out as they do alone, or as the reference says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.ir.graph import Graph, Value
from kir.ir.structural import Output, constant
from kir.numerics.report import Statement, VerificationReport
from kir.ops.elementwise import Add, Less, Mul, Sub, Where
from kir.ops.reduce import ReduceMean
from kir.ops.shape import Range, Reshape, Transpose
from tests.numerics.graphs import graph_of

Build = Callable[[Graph, Value], Value]


@pytest.fixture(autouse=True)
def no_larger_batch_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", 0)


def graph(build: Build, type: str = "f32[batch, 6]") -> Graph:
    made, (x,) = graph_of(type)
    made.add(Output("y"), build(made, x))
    return made


def verified(right: Build, wrong: Build | None = None, type: str = "f32[batch, 6]") -> VerificationReport:
    file = to_model_proto(graph(wrong or right, type)).SerializeToString()
    return verify_file(graph(right, type), file)


def outputs_of(report: VerificationReport) -> Statement:
    (statement,) = (one for one in report.statements if one.part == "outputs")
    return statement


def doubled(made: Graph, x: Value) -> Value:
    return made.add(Add(), x, x).output


def wrong_from(row: int) -> Build:
    """Return what doubles, and errs by a thousandth from a row on."""

    def build(made: Graph, x: Value) -> Value:
        rows = made.add(Range(0, x.type.shape[0])).output
        early = made.add(Less(), rows, made.add(constant(np.int64(row))).output).output
        early = made.add(Reshape((x.type.shape[0], *[1] * (x.type.rank - 1))), early).output
        numbers = [made.add(constant(np.float32(number))).output for number in (2, 2.002)]
        return made.add(Mul(), x, made.add(Where(), early, *numbers).output).output

    return build


def centered(made: Graph, x: Value) -> Value:
    """Return rows that depend on one another."""
    return made.add(Sub(), x, made.add(ReduceMean((0,), True), x).output).output


def centered_twice(made: Graph, x: Value) -> Value:
    return made.add(Add(), x, made.add(ReduceMean((0,), True), x).output).output


def test_rows_of_larger_batches_come_out_as_they_do_alone() -> None:
    report = verified(doubled)
    assert report.passed
    assert "1 probe (batch 1; a row of it in batches of 11)" in outputs_of(report).covered
    assert report.runs == 1, "no float64 run of a larger batch"
    assert not report.not_shown


@pytest.mark.parametrize("row", [1, 2, 8])
def test_a_file_that_errs_in_later_rows_fails(row: int) -> None:
    assert not verified(doubled, wrong_from(row)).passed


def test_a_model_that_mixes_rows_is_compared_with_the_reference() -> None:
    report = verified(centered)
    assert report.passed
    assert report.runs == 2, "the batch in float64, too"
    assert not verified(centered, centered_twice).passed


def test_the_batch_may_be_another_axis() -> None:
    def transposed(made: Graph, x: Value) -> Value:
        return made.add(Transpose((1, 0)), doubled(made, x)).output

    assert verified(transposed).passed
    assert verified(transposed).runs == 1


def test_batches_that_cost_too_much_are_said_not_to_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.exporters.onnx_file.verify.batches.ENOUGH_WORK", 0)
    report = verified(doubled)
    assert report.passed
    ((part, finding),) = report.not_shown
    assert part == "outputs"
    assert finding.text.startswith("batches of more than 1 were not run: of 11 rows, it computes")


def test_rows_that_cannot_be_told_apart_are_said_not_to_have_run() -> None:
    def flat(made: Graph, x: Value) -> Value:
        return made.add(Reshape((x.type.shape[0] * 6,)), doubled(made, x)).output

    report = verified(flat)
    assert [finding.text for _, finding in report.not_shown] == [
        "batches of more than 1 were not run: of 11 rows, its rows cannot be told apart"
    ]


def test_a_batch_of_two_runs_where_that_of_eleven_costs_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.exporters.onnx_file.verify.batches.ENOUGH_WORK", 2_000)
    report = verified(doubled)
    assert "a row of it in batches of 2)" in outputs_of(report).covered
    assert not verified(doubled, wrong_from(1)).passed
    ((_, finding),) = report.not_shown
    assert finding.text.startswith("batches of more than 2 were not run")


IMAGES = "f32[batch, 3, 120, 120]"


@pytest.fixture
def dear_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.exporters.onnx_file.verify.batches.CHEAP_WORK", 0)


@pytest.mark.usefixtures("dear_images")
def test_batches_of_images_run_at_a_small_size() -> None:
    report = verified(doubled, type=IMAGES)
    assert report.passed
    assert "a row of it in batches of 11, at 32×32 pixels)" in outputs_of(report).covered
    assert not report.not_shown


@pytest.mark.usefixtures("dear_images")
@pytest.mark.parametrize("row", [1, 2, 8])
def test_a_file_that_errs_in_later_images_fails(row: int) -> None:
    assert not verified(doubled, wrong_from(row), IMAGES).passed


@pytest.mark.usefixtures("dear_images")
def test_images_that_mix_are_compared_with_the_reference() -> None:
    report = verified(centered, type=IMAGES)
    assert report.passed
    assert report.runs == 2
    assert not verified(centered, centered_twice, IMAGES).passed


def flattened(made: Graph, x: Value) -> Value:
    return made.add(Reshape((x.type.shape[0], 360, 120)), doubled(made, x)).output


def zeroed(made: Graph, x: Value) -> Value:
    return made.add(Mul(), x, made.add(constant(np.float32(0))).output).output


@pytest.mark.usefixtures("dear_images")
@pytest.mark.parametrize("build", [flattened, zeroed])
def test_images_run_at_full_size_where_small_ones_say_nothing(build: Build) -> None:
    report = verified(build, type=IMAGES)
    assert report.passed
    assert "a row of it in batches of 11)" in outputs_of(report).covered
