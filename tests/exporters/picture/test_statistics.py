from typing import Any

import numpy as np
import pytest

from kir.exporters.picture.statistics import BINS, MAX_SAMPLE, describe_weights


def test_figures_of_a_small_weight() -> None:
    facts = describe_weights(np.array([0.0, 1.0, 2.0, 5.0], np.float32))
    assert facts["size"] == 4
    assert [facts[key] for key in ("min", "max", "mean", "zeros")] == ["0", "5", "2", "25 %"]
    assert facts["std"] == f"{np.std([0, 1, 2, 5]):.6g}"
    assert sum(facts["histogram"]) == 4
    assert len(facts["histogram"]) == BINS


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    facts = describe_weights(np.array([np.nan, np.inf, 1.0, 3.0]))
    assert (facts["not finite"], facts["min"], facts["max"]) == (2, "1", "3")


def test_a_large_weight_is_sampled_evenly() -> None:
    size = 3 * MAX_SAMPLE
    facts = describe_weights(np.arange(size, dtype=np.float32))
    assert facts["size"] == size
    assert facts["sampled"] == MAX_SAMPLE
    assert float(facts["mean"]) == pytest.approx(size / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((0, 3)), {"size": 0}),
        (np.array(["a", "b"], dtype=object), {"size": 2}),
        (np.array([np.nan]), {"size": 1, "not finite": 1}),
        (np.float32(2), {"size": 1, "min": "2", "max": "2", "mean": "2", "std": "0", "zeros": "0 %"}),
        (np.array([True, True]), {"size": 2, "min": "1", "max": "1", "mean": "1", "std": "0", "zeros": "0 %"}),
    ],
)
def test_weights_without_a_histogram(array: Any, expected: dict[str, Any]) -> None:
    assert describe_weights(array) == expected


def test_the_widest_range_is_described_without_a_warning() -> None:
    facts = describe_weights(np.array([-1.7e308, 1.7e308]))
    assert "histogram" not in facts
    assert facts["max"] == "1.7e+308"
