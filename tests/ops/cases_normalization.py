"""Cases of the operators that normalize."""

from __future__ import annotations

import numpy as np

from kir.ir.types import parse_type
from kir.ops.normalization import BatchNormalization, InstanceNormalization, LayerNormalization
from tests.ops.cases import Array, Case


def vectors(count: int, dtype: str = "float32") -> tuple[Array, ...]:
    """Return a scale, a bias, a mean, and a variance, which is positive."""
    random = np.random.default_rng(count)
    scale, bias, mean = random.normal(size=(3, count)).astype(dtype)
    return scale, bias, mean, random.uniform(0.1, 2, count).astype(dtype)


NORMALIZATION_CASES: list[Case] = [
    *(
        Case(BatchNormalization(1e-3), (parse_type(f"f32{shape}"), *vectors(3)))
        for shape in ("[2, 3]", "[batch, 3]", "[batch, 3, length]", "[2, 3, 4, 5]", "[batch, 3, 1, n, 2]")
    ),
    Case(BatchNormalization(0.1), (parse_type("f64[2, 3, 4]"), *vectors(3, "float64"))),
    Case(BatchNormalization(0.1), (parse_type("f16[2, 3, 4]"), *vectors(3, "float16"))),
    *(
        Case(op, (parse_type(f"{dtype}{shape}"), *vectors(5, numpy_dtype)[:2]))
        for dtype, numpy_dtype in (("f32", "float32"), ("f64", "float64"), ("f16", "float16"))
        for op, shape in (
            (LayerNormalization(2, 1e-3), "[batch, length, 5]"),
            (LayerNormalization(1, 1e-3), "[2, 5]"),
            (InstanceNormalization(1e-3), "[batch, 5, 4, n]"),
            (InstanceNormalization(1e-3), "[2, 5, 3]"),
        )
    ),
    Case(LayerNormalization(1, 0.1), tuple(parse_type(f"f32{shape}") for shape in ("[batch, 3, 4]", "[3, 4]"))),
    Case(BatchNormalization(0.5), tuple(parse_type(f"f32{shape}") for shape in ("[batch, 4]", *["[4]"] * 4)), low=0.1),
]
