"""Cases of the operators of kir.ops.pooling."""

from __future__ import annotations

from typing import Any

from kir.ir.types import parse_type
from kir.ops.pooling import AveragePool, MaxPool
from tests.ops.cases import Case
from tests.ops.cases_convolution import IMAGES


def pool(
    cls: Any,
    x: str,
    kernel_shape: tuple[int, ...],
    *,
    strides: Any = 1,
    dilations: Any = 1,
    padding: Any = 0,
    ceil_mode: bool = False,
    since: int = 13,
    **fields: Any,
) -> Case:
    """Return a row; single numbers count for all axes."""
    rank = len(kernel_shape)
    if cls is AveragePool:
        fields.setdefault("count_include_pad", False)
    op = cls(
        kernel_shape,
        (strides,) * rank if isinstance(strides, int) else strides,
        (dilations,) * rank if isinstance(dilations, int) else dilations,
        (padding,) * (2 * rank) if isinstance(padding, int) else padding,
        ceil_mode,
        **fields,
    )
    return Case(op, (parse_type(x),), samples=IMAGES, since=since)


BOTH: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("f32[2, 3, 7]", (3,), {"strides": 2, "padding": 1}),
    ("f32[batch, 3, h]", (2,), {"strides": 2, "padding": "same"}),
    ("f32[2, 3, 6, 7]", (2, 3), {}),
    ("f32[batch, 3, h, w]", (2, 2), {"strides": 2}),
    ("f32[batch, 3, h, w]", (3, 3), {"strides": (2, 3), "padding": "same"}),
    ("f32[batch, 3, h, w]", (2, 3), {"strides": (2, 1), "padding": "same"}),
    ("f32[batch, 3, h, w]", (3, 2), {"strides": 2, "padding": (1, 0, 2, 1)}),
    ("f32[batch, 3, h, w]", (3, 3), {"strides": 2, "ceil_mode": True}),
    ("f32[batch, 3, 5, 6]", (3, 3), {"strides": 2, "padding": (1, 1, 0, 1), "ceil_mode": True}),
    ("f32[batch, 2, h, w, 5]", (2, 3, 2), {"strides": 2, "padding": "same"}),
    ("f16[batch, 3, h, w]", (2, 2), {"strides": 2}),
]

POOLING_CASES: list[Case] = [
    *(pool(cls, x, kernel_shape, **options) for cls in (MaxPool, AveragePool) for x, kernel_shape, options in BOTH),
    pool(MaxPool, "f32[batch, 3, h, w]", (2, 3), dilations=(2, 3)),
    pool(MaxPool, "f64[batch, 3, h, w]", (3, 2), padding=1, strides=2),
    pool(MaxPool, "u8[batch, 3, h, w]", (2, 2), padding=(0, 1, 1, 1)),
    pool(AveragePool, "f32[batch, 3, h, w]", (3, 3), padding=(1, 0, 2, 1), count_include_pad=True),
    pool(AveragePool, "f32[batch, 3, 6, 5]", (3, 3), padding=1, strides=2, ceil_mode=True, count_include_pad=True),
    pool(AveragePool, "f32[batch, 3, h, w]", (2, 3), dilations=(2, 3), since=19),
]
