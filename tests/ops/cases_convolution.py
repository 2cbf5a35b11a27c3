"""Cases of the operators of kir.ops.convolution."""

from __future__ import annotations

import math
from typing import Any

from kir.ir.types import parse_type
from kir.ops.convolution import Conv, ConvTranspose
from tests.ops.cases import Case, Sizes

# Large enough for every window here, and not the same remainder of a division by 2 or 3.
IMAGES: tuple[Sizes, ...] = ({"batch": 1, "h": 9, "w": 8}, {"batch": 2, "h": 12, "w": 13})


def conv(
    x: str,
    kernel: str,
    bias: str | None = None,
    *,
    strides: Any = 1,
    dilations: Any = 1,
    groups: int = 1,
    padding: Any = 0,
) -> Case:
    """Return a row; single numbers count for all axes."""
    rank = parse_type(kernel).rank - 2
    op = Conv(
        (strides,) * rank if isinstance(strides, int) else strides,
        (dilations,) * rank if isinstance(dilations, int) else dilations,
        groups,
        (padding,) * (2 * rank) if isinstance(padding, int) else padding,
    )
    inputs = (parse_type(x), parse_type(kernel), None if bias is None else parse_type(bias))
    terms = math.prod(size for size in parse_type(kernel).shape[1:] if isinstance(size, int))
    return Case(op, inputs, ulps=16 * math.sqrt(terms), samples=IMAGES)


CONV_CASES = [
    conv("f32[2, 3, 5]", "f32[4, 3, 2]", "f32[4]"),
    conv("f32[batch, 3, h]", "f32[4, 3, 3]", strides=2, padding=(2, 0)),
    conv("f32[batch, 3, h]", "f32[4, 3, 3]", "f32[4]", dilations=2, padding=(4, 0)),
    conv("f32[2, 3, 6, 7]", "f32[4, 3, 3, 2]", "f32[4]", padding=(1, 0, 1, 1)),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 3, 3]", "f32[4]"),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 3, 3]", padding="same"),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 3, 3]", "f32[4]", strides=2, padding="same"),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 2, 5]", strides=(3, 2), padding="same"),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 1, 1]", strides=3, padding="same"),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 3, 3]", strides=(2, 3), padding=(1, 2, 0, 3)),
    conv("f32[batch, 3, h, w]", "f32[4, 3, 3, 2]", dilations=(2, 3), padding=1),
    conv("f32[batch, 3, h, w]", "f32[5, 3, 1, 1]", "f32[5]"),
    conv("f32[batch, 4, h, w]", "f32[6, 2, 1, 1]", groups=2, strides=2),
    conv("f32[batch, 4, h, w]", "f32[6, 2, 3, 3]", "f32[6]", groups=2, padding=1),
    conv("f32[batch, 4, h, w]", "f32[4, 1, 3, 3]", "f32[4]", groups=4, padding="same", strides=2),
    conv("f32[batch, 4, h, w]", "f32[8, 1, 3, 2]", groups=4, dilations=2),
    conv("f32[batch, 1, h, w]", "f32[3, 1, 2, 2]"),
    conv("f32[1, 2, 4, 5, 6]", "f32[3, 2, 2, 3, 2]", "f32[3]", padding=(0, 1, 1, 1, 1, 0)),
    conv("f32[batch, 2, h, w, 6]", "f32[3, 2, 3, 3, 3]", strides=2, padding="same"),
    conv("f32[batch, 2, h, w, 6]", "f32[4, 1, 2, 2, 2]", groups=2, strides=(1, 2, 1)),
    conv("f16[batch, 3, h, w]", "f16[4, 3, 3, 3]", "f16[4]", padding=1),
]


def transposed(
    x: str,
    kernel: str,
    bias: str | None = None,
    *,
    strides: Any = 1,
    dilations: Any = 1,
    groups: int = 1,
    padding: Any = 0,
    output_padding: Any = 0,
) -> Case:
    """Return a row; single numbers count for all axes."""
    rank = parse_type(kernel).rank - 2
    op = ConvTranspose(
        (strides,) * rank if isinstance(strides, int) else strides,
        (dilations,) * rank if isinstance(dilations, int) else dilations,
        groups,
        (padding,) * (2 * rank) if isinstance(padding, int) else padding,
        (output_padding,) * rank if isinstance(output_padding, int) else output_padding,
    )
    inputs = (parse_type(x), parse_type(kernel), None if bias is None else parse_type(bias))
    return Case(op, inputs, ulps=64, samples=IMAGES)


CONV_TRANSPOSE_CASES = [
    transposed("f32[2, 3, 5]", "f32[3, 4, 2]", "f32[4]"),
    transposed("f32[batch, 3, h]", "f32[3, 4, 3]", strides=2, padding=(1, 0)),
    transposed("f32[2, 3, 6, 7]", "f32[3, 4, 3, 2]", "f32[4]", strides=2, output_padding=1),
    transposed("f32[batch, 3, h, w]", "f32[3, 4, 3, 3]", "f32[4]"),
    transposed("f32[batch, 3, h, w]", "f32[3, 4, 3, 3]", strides=(2, 3), padding=(1, 0, 0, 2)),
    transposed("f32[batch, 3, h, w]", "f32[3, 4, 2, 3]", strides=(3, 2), padding=(0, 1, 0, 1), output_padding=(2, 1)),
    transposed("f32[batch, 3, h, w]", "f32[3, 4, 1, 1]", "f32[4]", strides=3, output_padding=2),
    transposed("f32[batch, 3, h, w]", "f32[3, 4, 3, 2]", dilations=(2, 3), padding=1),
    transposed("f32[batch, 4, h, w]", "f32[4, 3, 3, 3]", "f32[6]", groups=2, strides=2, padding=1),
    transposed("f32[batch, 4, h, w]", "f32[4, 1, 2, 2]", groups=4, strides=2),
    transposed("f32[1, 2, 4, 5, 6]", "f32[2, 3, 2, 3, 2]", "f32[3]", strides=2, padding=(0, 1, 1, 1, 1, 0)),
    transposed("f32[batch, 2, h, w, 4]", "f32[2, 3, 2, 2, 3]", strides=(1, 2, 1)),
    transposed("f16[batch, 3, h, w]", "f16[3, 4, 3, 3]", "f16[4]", strides=2),
]

CONVOLUTION_CASES: list[Case] = CONV_CASES + CONV_TRANSPOSE_CASES
