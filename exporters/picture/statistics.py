"""Statistics of a weight: range, mean, spread, zeros, and a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from kir.ir.op import Array

BINS = 32
# Larger arrays are sampled evenly: 200,000 numbers give every figure to within a fraction of a percent.
MAX_SAMPLE = 200_000


def describe_weights(array: Array) -> dict[str, Any]:
    """Return statistics as plain values, to six digits, for JSON; none of them for text and empty arrays.

    "sampled" is how many elements were looked at if not all; "histogram" counts those in equal steps from min to max.
    """
    size = int(array.size)
    if size == 0 or array.dtype == object:
        return {"size": size}
    step = -(-size // MAX_SAMPLE)
    numbers = np.asarray(array.reshape(-1)[::step]).astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    facts: dict[str, Any] = {"size": size}
    if step > 1:
        facts["sampled"] = int(numbers.size)
    if finite.size < numbers.size:
        facts["not finite"] = int(numbers.size - finite.size)
    if finite.size == 0:
        return facts
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(finite.mean()), float(finite.std())
    facts |= {"min": f"{low:.6g}", "max": f"{high:.6g}", "mean": f"{mean:.6g}", "std": f"{spread:.6g}"}
    facts["zeros"] = f"{100 * float((finite == 0).mean()):.4g} %"
    if low < high and np.isfinite(high - low):
        facts["histogram"] = [int(count) for count in np.histogram(finite, bins=BINS, range=(low, high))[0]]
    return facts
