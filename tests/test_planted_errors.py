"""The benchmark of planted errors still plants: every kind somewhere, and what it says is counted rightly."""

from __future__ import annotations

import numpy as np
import pytest

from kir.numerics.report import Finding
from tests.benchmarks.planted_errors import (
    Error,
    Outcome,
    Verdict,
    differs,
    disguise,
    exported,
    plant_errors,
    results,
    right_results,
    run,
)
from tests.benchmarks.planted_kinds import HIDDEN_KINDS, KINDS
from tests.benchmarks.planted_models import NAMES, Subject


@pytest.mark.parametrize("kind", [*KINDS, *HIDDEN_KINDS])
def test_every_kind_is_planted_and_changes_a_result(kind: str) -> None:
    """All are of use: some of the first few errors of each kind change what the file computes."""
    errors = list(plant_errors(12, 0, kinds=[kind]))
    assert any(differs(right_results(error.subject, error.level), results(error.model)) for error in errors)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_disguise_computes_the_same(name: str) -> None:
    file = exported(Subject(name), 2)
    other, names = disguise(file.model)
    assert not differs(right_results(Subject(name), 2), results(other))
    assert not {node.name for node in other.graph.node} & {node.name for node in file.nodes}
    assert set(names) >= set(file.constants)


def test_the_same_seed_plants_the_same_errors() -> None:
    first, again, other = ([str(error) for error in plant_errors(8, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_an_error_that_every_part_sees_is_counted() -> None:
    """Half of a bias is missing: seen in both forms."""
    errors = plant_errors(2, 0, ["mnist_mlp"], ["bias dropped"])
    outcome = run(errors, ["own", "foreign"], print)
    assert outcome.total("own").seen_changing == outcome.total("own").changing == 2
    assert outcome.total("foreign").seen_changing == 2
    assert outcome.missed == []
    assert "bias dropped" in str(outcome)


def test_what_is_missed_is_listed_only_where_a_result_changes() -> None:
    error = next(plant_errors(1, 0, ["siamese"]))
    outcome = Outcome()
    outcome.record(error, "own", True, Verdict(), False)
    outcome.record(error, "own", False, Verdict(), False)
    outcome.record(error, "own", True, Verdict("file", Finding("differs", "elsewhere")), False)
    assert len(outcome.missed) == len(outcome.misnamed) == 1
    assert (outcome.total("own").changing, outcome.total("own").seen) == (2, 1)


def test_a_change_leaves_the_file_as_it_was() -> None:
    before = exported(Subject("small_cnn"), 2).model.SerializeToString()
    planted: list[Error] = list(plant_errors(5, 3, ["small_cnn"]))
    assert all(error.model.SerializeToString() != before for error in planted if error.level == 2)
    assert exported(Subject("small_cnn"), 2).model.SerializeToString() == before


def test_special_numbers_are_the_same_as_themselves() -> None:
    assert not differs([{"y": np.array([np.nan, 1])}], [{"y": np.array([np.nan, 1])}])
    assert differs([{"y": np.array([1.0])}], [{"y": np.array([np.nextafter(1.0, 2)])}])
    assert not differs(["too small"], [{"y": np.array([1.0])}])
    assert differs([{"y": np.array([1.0])}], ["it fails"])
