"""The merging layers against real Keras: numbers, ranks, masks, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kir import Input, layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from tests.oracle import assert_matches_keras, build_both, check_layer, draw_feeds, node_types, show_mask

ELEMENTWISE = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
ANY_NUMBER = tuple(name for name in ELEMENTWISE if name != "Subtract")
SHAPES = [
    ((4,), (4,)),
    ((5, 4), (5, 4)),
    ((5, 4), (1, 4)),
    ((5, 1), (1, 4)),
    ((5, 4), (4,)),
    ((4,), (3, 5, 4)),
    (("time", 4), ("time", 4)),
    (("time", 4), (1,)),
]
MASKS = [
    [[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 1, 1, 0]],
    [[1, 1, 0, 0, 1], [1, 0, 0, 1, 1], [0, 0, 0, 1, 1]],
    [[0, 1, 1, 0, 1], [1, 0, 0, 0, 0], [0, 1, 0, 1, 0]],
]
DTYPES = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-6}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_like_keras(name: str, shapes: tuple[Any, ...], dtype: str) -> None:
    check_layer(name, *((shape, dtype) for shape in shapes), dtype=dtype, rtol=DTYPES[dtype], atol=DTYPES[dtype])


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("name", ANY_NUMBER)
def test_many_inputs(name: str, count: int) -> None:
    check_layer(name, *[(4,)] * count)


@pytest.mark.parametrize("name", [*ANY_NUMBER, "Concatenate"])
def test_a_list_of_one(name: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return getattr(library, name)()([x])

    assert_matches_keras(*build_both(build, (4,)), draw_feeds((4,)))


CONCATENATIONS: list[tuple[list[tuple[Any, ...]], dict[str, Any]]] = [
    ([(4,), (3,)], {}),
    ([(5, 4), (5, 3), (5, 1)], {"axis": -1}),
    ([(5, 4), (3, 4)], {"axis": 1}),
    ([(5, 4), (3, 4)], {"axis": -2}),
    ([(5, 4), (5, 4)], {"axis": 0}),
    ([(5, 2, 4), (5, 3, 4)], {"axis": 2}),
    ([("time", 4), ("time", 3)], {}),
    ([("time", 4), ("other", 4)], {"axis": 1}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shapes", "options"), CONCATENATIONS)
def test_concatenate_like_keras(shapes: list[tuple[Any, ...]], options: dict[str, Any], dtype: str) -> None:
    proto = check_layer("Concatenate", *((shape, dtype) for shape in shapes), dtype=dtype, **options)
    assert node_types(proto) == ["Concat"]


DOTS: list[tuple[list[tuple[Any, ...]], dict[str, Any]]] = [
    ([(4,), (4,)], {"axes": 1}),
    ([(4,), (4,)], {"axes": -1}),
    ([(4,), (4,)], {"axes": 1, "normalize": True}),
    ([(3, 4), (4, 5)], {"axes": (2, 1)}),
    ([(3, 4), (5, 4)], {"axes": [2, 2]}),
    ([(3, 4), (3, 5)], {"axes": 1}),
    ([(3, 4), (5, 4)], {"axes": -1, "normalize": True}),
    ([(4,), (5, 4)], {"axes": (1, 2)}),
    ([(5, 4), (4,)], {"axes": (-1, -1)}),
    ([(2, 3, 4), (4, 5)], {"axes": (3, 1)}),
    ([("time", 4), ("time", 3)], {"axes": 1}),
    ([("time", 4), ("other", 4)], {"axes": 2, "normalize": True}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shapes", "options"), DOTS)
def test_dot_like_keras(shapes: list[tuple[Any, ...]], options: dict[str, Any], dtype: str) -> None:
    specs = [(shape, dtype) for shape in shapes]
    check_layer("Dot", *specs, dtype=dtype, rtol=5 * DTYPES[dtype], atol=5 * DTYPES[dtype], **options)


def check_masks(make: Any, masked: tuple[bool, ...]) -> None:
    """`make(library)` on inputs of which some carry masks: the output, and its mask, are Keras's."""

    def build(library: Any, *inputs: Any) -> Any:
        carry = [library.Masking()(x) if has else x for x, has in zip(inputs, masked, strict=True)]
        merged = make(library)(carry)
        return show_mask(library, library.Dense(2)(merged))

    specs = [(5, 4)] * len(masked)
    feeds = draw_feeds(*specs)
    for x, mask, has in zip(feeds, MASKS, masked, strict=False):
        if has:
            x *= np.array(mask, np.float32)[..., None]
    assert_matches_keras(*build_both(build, *specs), feeds, atol=1e-4)


@pytest.mark.parametrize("masked", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_masks_of_two(name: str, masked: tuple[bool, ...]) -> None:
    check_masks(lambda library: getattr(library, name)(), masked)


@pytest.mark.parametrize("masked", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("name", ["Add", "Multiply", "Maximum", "Minimum"])
def test_masks_of_three(name: str, masked: tuple[bool, ...]) -> None:
    check_masks(lambda library: getattr(library, name)(), masked)


@pytest.mark.parametrize("axis", [1, -1])
def test_masks_of_concatenate(axis: int) -> None:
    for masked in itertools.product([False, True], repeat=2):
        # All True is no mask in kir where the features are joined: the 7 of `show_mask` would tell them apart.
        if axis == 1 or all(masked) or not any(masked):
            check_masks(lambda library: library.Concatenate(axis=axis), masked)


def test_an_input_without_a_mask_makes_all_steps_valid() -> None:
    masked = layers.Masking()(Input((5, 4)))
    assert Concatenate()([masked, Input((5, 4))]).mask_type is None
    assert str(Concatenate(axis=1)([masked, Input((5, 4))]).mask_type) == "bool[batch, 10]"


def test_dot_ends_masks_in_silence() -> None:
    masked = layers.Masking()(Input((5, 4)))
    assert Dot(axes=2)([masked, masked]).mask_type is None


def test_a_mask_of_a_lower_rank_is_lost_in_the_broadcast() -> None:
    masked = layers.Masking()(Input((5, 4)))
    assert Add()([masked, Input((4,))]).mask_type is None


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate", "dot"])
def test_function_forms(name: str) -> None:
    def build(library: Any, *inputs: Any) -> Any:
        return getattr(library, name)(list(inputs), name="merged")

    assert_matches_keras(*build_both(build, (4,), (4,)), draw_feeds((4,), (4,)))


def test_function_forms_take_arguments() -> None:
    x, y = Input((3, 4)), Input((3, 4))
    assert layers.concatenate([x, y], axis=1).shape == (None, 6, 4)
    assert layers.dot([x, y], axes=(2, 2), normalize=True).shape == (None, 3, 3)


def test_arrays_are_merged_at_once() -> None:
    ones = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(Add()([ones, ones]), 2 * ones)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Concatenate(axis="last"), "'last'"),  # type: ignore[arg-type]
        (lambda: Concatenate(axis=1.5), "1.5"),  # type: ignore[arg-type]
        (lambda: Concatenate(axis=None), "None"),  # type: ignore[arg-type]
        (lambda: Dot(axes=0), "0"),
        (lambda: Dot(axes=(1, 0)), "(1, 0)"),
        (lambda: Dot(axes=(1, 2, 3)), "(1, 2, 3)"),
        (lambda: Dot(axes=[1]), "[1]"),
        (lambda: Dot(axes="1"), "'1'"),  # type: ignore[arg-type]
        (lambda: Dot(axes=None), "None"),  # type: ignore[arg-type]
        (lambda: Dot(axes=1, normalize="yes"), "'yes'"),  # type: ignore[arg-type]
        (lambda: Add(axis=1), "axis"),  # type: ignore[call-arg]
    ],
)
def test_bad_arguments_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


@pytest.mark.parametrize("make", [Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, lambda: Dot(1)])
def test_one_tensor_is_no_list(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"list of tensors.*\(batch, 4\)"):
        make()(Input((4,)))


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (Add(), [(4,), (3,)], ["4", "3"]),
        (Maximum(), [(5, 4), (3,)], ["4", "3"]),
        (Subtract(), [(4,), (4,), (4,)], ["exactly 2", "received 3"]),
        (Concatenate(), [(5, 4), (3, 4)], ["(batch, 5, 4), (batch, 3, 4)"]),
        (Concatenate(), [(5, 4), (4,)], ["(batch, 5, 4), (batch, 4)"]),
        (Concatenate(axis=3), [(5, 4), (5, 4)], ["axis=3"]),
        (Dot(1), [(4,), (3,)], ["4 and 3"]),
        (Dot(3), [(4,), (4,)], ["axes=3"]),
        (Dot(1), [(4,), (4,), (4,)], ["exactly 2"]),
    ],
)
def test_shapes_that_do_not_fit_are_repeated(layer: Any, shapes: list[Any], expected: list[str]) -> None:
    with pytest.raises(ShapeError) as error:
        layer([Input(shape) for shape in shapes])
    assert all(part in str(error.value) for part in [layer.name, *expected])


def test_batch_sizes_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"one batch size.*\(1, 4\), \(2, 4\)"):
        Add()([Input(batch_shape=(1, 4)), Input(batch_shape=(2, 4))])
