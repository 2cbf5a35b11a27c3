"""Window functions against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import get_window

from kir.errors import InvalidArgumentError
from kir.windows import NAMES, make_window


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_named_windows(name: str, periodic: bool, length: int) -> None:
    np.testing.assert_allclose(make_window("x", name, length, periodic), get_window(name, length, periodic), atol=1e-14)


def test_numbers_and_none() -> None:
    assert make_window("x", None, 3, False).tolist() == [1, 1, 1]
    assert make_window("x", [1, 2], 2, False).tolist() == [1, 2]


def test_what_is_no_window() -> None:
    with pytest.raises(InvalidArgumentError, match="Here: window must be one of boxcar"):
        make_window("Here", "oval", 3, False)
    with pytest.raises(InvalidArgumentError, match=r"must have 3 numbers; received \(2,\)"):
        make_window("Here", [1, 2], 3, False)
