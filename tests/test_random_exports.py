"""The benchmark of random exports still builds, exports and verifies its models: the first few, of each precision."""

from __future__ import annotations

import pytest

from tests.benchmarks.random_exports import POLICIES, Result, build_case, count_results, export_case


@pytest.mark.parametrize("policy", POLICIES)
def test_random_models_are_verified(policy: str) -> None:
    cases = (build_case(0, index) for index in range(200))
    case = next(case for case in cases if case.policy == policy)
    assert export_case(case).kind in ("passed", "unsupported")


# Those that a bound was too narrow for, each for a reason of its own: overflow in a recurrence, infinities and NaN that
# reach one, a float16 product that its activation was given with more bits.
@pytest.mark.parametrize("index", [253, 312, 331, 445, 644, 760, 989])
def test_models_that_once_failed_although_they_are_right_pass(index: int) -> None:
    assert export_case(build_case(0, index)).kind == "passed"


def test_results_are_counted() -> None:
    seen: dict[int, Result] = {}
    counts = count_results(1, range(3), seen.__setitem__)
    assert counts == {"passed": 3}
    assert sorted(seen) == [0, 1, 2]


def test_a_seed_gives_the_same_models() -> None:
    first, again, other = (str(build_case(*key).model.to_graph()) for key in ((0, 5), (0, 5), (1, 5)))
    assert first == again
    assert first != other
