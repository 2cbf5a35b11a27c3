"""Numbers to feed live models of Keras with."""

from __future__ import annotations

from typing import Any

import numpy as np

# One more than the largest integer: all tables of the models have as many rows.
LARGEST = 60


def inputs_of(model: Any, length: int = 7) -> dict[str, np.ndarray[Any, Any]]:
    """Return numbers for each input by its name, with two rows, and `length` for unknown sizes."""
    rng = np.random.default_rng(0)
    found = {}
    for x in model.inputs:
        name = x._keras_history.operation.name
        shape = tuple(size or (2 if axis == 0 else length) for axis, size in enumerate(x.shape))
        if "mask" in name and "positions" not in name:
            array = np.ones(shape, x.dtype)
            array[-1, shape[-1] // 2 + 1 :] = 0
        elif "segment" in name:
            array = rng.integers(0, 2, shape)
        elif "mask_positions" in name:
            array = rng.integers(0, 4, shape)
        elif np.issubdtype(np.dtype(x.dtype), np.integer):
            array = rng.integers(1, LARGEST, shape)
        else:
            array = rng.normal(size=shape)
        found[name] = array.astype(x.dtype)
    return found
