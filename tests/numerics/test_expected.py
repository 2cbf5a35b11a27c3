"""What is expected of a tensor, made wider."""

import numpy as np

from kir.numerics.expected import Expected


def test_a_wider_bound_is_wider_after_all_runs_too() -> None:
    last = Expected(np.array([1.0, 2.0]), np.array([0.3, 0.4]))
    first = Expected(np.array([1.0, 2.0]), np.array([0.1, 0.1]), widened=lambda: last)
    assert first.whole() is last
    assert last.whole() is last
    wider = first.times(2, np.array([0.0, 1.0]))
    np.testing.assert_allclose(wider.allowed, [0.2, 1.2])
    np.testing.assert_allclose(wider.whole().allowed, [0.6, 1.8])
    assert wider.whole().widened is None
