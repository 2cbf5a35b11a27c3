import pytest

from kir.dims import symbol
from kir.ops.elementwise import Sin
from kir.ops.shape import Expand, Reshape
from kir.passes.fold_reshapes import fold_reshapes
from tests.passes.building import left

BATCH = symbol("batch")


def reshapes(*shapes):  # type: ignore[no-untyped-def]
    def build(b, x):  # type: ignore[no-untyped-def]
        for shape in shapes:
            x = b(Reshape(shape), x)
        return x

    return build


def read_twice(b, x):  # type: ignore[no-untyped-def]
    inner = b(Reshape((BATCH, 2, 2)), x)
    return b(Sin(), inner), b(Reshape((4 * BATCH,)), inner)


CASES = {
    "1": (reshapes((BATCH, 4)), []),
    "2": (reshapes((BATCH, 2, 2), (4 * BATCH,)), ["Reshape"]),
    "2 and 1": (reshapes((BATCH, 2, 2), (BATCH, 4)), []),
    "2 ten": (reshapes(*[(BATCH, 2, 2), (2 * BATCH, 2)] * 5), ["Reshape"]),
    "2 read twice": (read_twice, ["Reshape", "Sin", "Reshape"]),
    "3": (lambda b, x: b(Expand((1, BATCH, 4)), x), ["Reshape"]),
    "3 and 2": (lambda b, x: b(Reshape((BATCH, 4)), b(Expand((1, BATCH, 4)), x)), []),
    "not 3": (lambda b, x: b(Reshape((8 * BATCH,)), b(Expand((2, BATCH, 4)), x)), ["Expand", "Reshape"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(fold_reshapes, build) == expected
