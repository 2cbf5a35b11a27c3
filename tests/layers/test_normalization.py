"""The normalization layers against real Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers import BatchNormalization, Flatten, GroupNormalization, LayerNormalization, SpectralNormalization
from kir.modeling.lower import lower
from tests.oracle import (
    assert_matches_keras,
    build_both,
    check_layer,
    draw_feeds,
    node_types,
    show_mask,
)

INITIALIZER = {"class_name": "RandomUniform", "config": {"minval": 0.1, "maxval": 1.0, "seed": 3}}

BATCH: dict[str, dict[str, Any]] = {
    "default": {},
    "momentum": {"momentum": 0.5},
    "epsilon": {"epsilon": 0.25},
    "no beta": {"center": False},
    "no gamma": {"scale": False},
    "neither": {"center": False, "scale": False},
    "initializers": {
        "beta_initializer": INITIALIZER,
        "gamma_initializer": "zeros",
        "moving_mean_initializer": INITIALIZER,
        "moving_variance_initializer": INITIALIZER,
    },
    "regularized": {
        "beta_regularizer": {"class_name": "L1", "config": {"l1": 0.25}},
        "gamma_regularizer": {"class_name": "L2", "config": {"l2": 0.5}},
        "beta_constraint": "non_neg",
        "gamma_constraint": "unit_norm",
    },
    "renorm": {"renorm": True, "renorm_momentum": 0.9, "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}},
    "frozen": {"trainable": False},
}


@pytest.mark.parametrize("options", BATCH.values(), ids=BATCH)
def test_batch_normalization_is_one_node(options: Any) -> None:
    assert node_types(check_layer("BatchNormalization", (5,), **options)) == ["BatchNormalization"]


@pytest.mark.parametrize("shape", [(5,), (None, 5), (4, None, 5), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "mixed_float16"])
def test_batch_normalization_of_any_rank(shape: Any, dtype: str) -> None:
    rtol = 4e-3 if "float16" in dtype else 1e-5
    check_layer("BatchNormalization", (shape, dtype.removeprefix("mixed_")), dtype=dtype, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("axis", [1, 2, 3, -2, -3])
def test_batch_normalization_along_any_axis(axis: int) -> None:
    nodes = node_types(check_layer("BatchNormalization", (3, 4, 5), axis=axis))
    assert nodes == (["BatchNormalization"] if axis in (1, -3) else ["Mul", "Add"])


def test_batch_normalization_along_the_batch() -> None:
    random = np.random.default_rng(0)
    for shape in ((4,), (4, 3), (4, 3, 2)):
        x = random.normal(size=shape).astype(np.float32)
        ours, theirs = BatchNormalization(axis=0), keras.layers.BatchNormalization(axis=0)
        theirs.build(shape)
        statistics = [random.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)]
        theirs.set_weights(statistics)
        ours(x)
        ours.set_weights(statistics)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_a_list_of_one_axis_is_that_axis() -> None:
    assert BatchNormalization(axis=[3]).get_config()["axis"] == 3


def test_training_keeps_the_moving_statistics() -> None:
    x = Input((5,))
    graph = lower(Model(x, BatchNormalization()(x)), training=True)
    assert [node.op.name for node in graph.order()][-2:] == ["BatchNormalization", "Output"]


def test_batch_normalization_folds_into_dense() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.BatchNormalization()(library.Dense(4)(library.BatchNormalization()(x)))

    both = build_both(build, (5,))
    assert node_types(assert_matches_keras(*both, draw_feeds((5,)))) == ["Gemm"]


def test_masks_pass() -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0

    def build(library: Any, x: Any) -> Any:
        return show_mask(library, library.BatchNormalization()(library.Masking()(x)))

    assert_matches_keras(*build_both(build, (5, 4)), [x], atol=1e-5)


OTHERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "layer": ("LayerNormalization", (None, 5), {}),
    "layer axis": ("LayerNormalization", (4, 5), {"axis": 1}),
    "layer axes": ("LayerNormalization", (4, 5, 3), {"axis": [-1, 2]}),
    "layer axes apart": ("LayerNormalization", (4, 5, 3), {"axis": [3, 1], "epsilon": 0.1}),
    "layer axes out of order": ("LayerNormalization", (4, 4), {"axis": [1, -1]}),
    "layer without gamma": ("LayerNormalization", (4, 5), {"scale": False}),
    "layer without beta": ("LayerNormalization", (4, 5), {"center": False}),
    "layer of an unknown size": ("LayerNormalization", (None, 5), {"axis": 1, "scale": False, "center": False}),
    "layer initializers": ("LayerNormalization", (5,), {"beta_initializer": "ones", "gamma_initializer": "zeros"}),
    "layer constraints": ("LayerNormalization", (5,), {"beta_constraint": "non_neg", "gamma_constraint": "non_neg"}),
    "layer rms": ("LayerNormalization", (4, 5), {"rms_scaling": True, "axis": 1}),
    "group": ("GroupNormalization", (None, 6), {"groups": 3}),
    "group of images": ("GroupNormalization", (3, 4, 32), {"epsilon": 0.1}),
    "group first": ("GroupNormalization", (6, 4, 3), {"groups": 2, "axis": 1}),
    "group in the middle": ("GroupNormalization", (3, 6, 2), {"groups": 2, "axis": -2, "center": False}),
    "group of each channel": ("GroupNormalization", (3, None, 4), {"groups": -1}),
    "group of each channel of a vector": ("GroupNormalization", (4,), {"groups": -1, "scale": False}),
    "group of all": ("GroupNormalization", (3, 4), {"groups": 1, "beta_constraint": "non_neg"}),
    "group initializers": ("GroupNormalization", (6,), {"groups": 2, "beta_initializer": "ones"}),
    "group constraints": ("GroupNormalization", (6,), {"groups": 2, "gamma_constraint": "non_neg"}),
    "rms": ("RMSNormalization", (None, 5), {}),
    "rms axes": ("RMSNormalization", (4, 5), {"axis": [2, 1], "epsilon": 0.1}),
    "unit": ("UnitNormalization", (None, 5), {}),
    "unit axes": ("UnitNormalization", (4, 5), {"axis": [1, 2]}),
    "unit axis": ("UnitNormalization", (4, 5), {"axis": 1}),
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_other_normalizations(case: Any) -> None:
    name, shape, options = case
    check_layer(name, shape, **options)


@pytest.mark.parametrize("name", ["LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "mixed_float16"])
def test_other_normalizations_in_other_dtypes(name: str, dtype: str) -> None:
    tolerance = 1e-6 if dtype == "float64" else 4e-3
    options = {"groups": 2} if name == "GroupNormalization" else {}
    check_layer(name, ((3, 4), dtype.removeprefix("mixed_")), dtype=dtype, rtol=tolerance, atol=tolerance, **options)


@pytest.mark.parametrize(
    ("name", "shape", "options", "nodes"),
    [
        ("LayerNormalization", (4, 5), {}, ["LayerNormalization"]),
        ("GroupNormalization", (6, 5), {"groups": -1, "axis": 1}, ["InstanceNormalization"]),
        (
            "GroupNormalization",
            (6, 5),
            {"groups": 2, "axis": 1},
            ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"],
        ),
        ("RMSNormalization", (4, 5), {}, ["ReduceSumSquare", "Add", "Sqrt", "Div", "Mul"]),
        ("UnitNormalization", (4, 5), {}, ["ReduceL2", "Max", "Div"]),
    ],
)
def test_nodes(name: str, shape: Any, options: Any, nodes: list[str]) -> None:
    assert node_types(check_layer(name, shape, **options)) == nodes


def test_layer_normalization_of_integers_rounds_to_integers() -> None:
    check_layer("LayerNormalization", ((5,), "int32"))


def test_spectral_normalization_is_the_layer_inside() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.SpectralNormalization(library.Dense(4), power_iterations=3, name="checked")(x)

    both = build_both(build, (5,))
    config = both[0].get_layer("checked").get_config()
    assert SpectralNormalization.from_config(config).get_config() == config
    assert node_types(assert_matches_keras(*both, draw_feeds((5,)))) == ["Gemm"]
    with pytest.raises(InvalidArgumentError, match="Flatten 'f', which has neither"):
        SpectralNormalization(Flatten(name="f"))(Input((4,)))


@pytest.mark.parametrize("name", ["LayerNormalization", "GroupNormalization", "UnitNormalization"])
def test_masks_pass_other_normalizations(name: str) -> None:
    x = draw_feeds((5, 4))[0]
    x[0, 1] = x[1, 3:] = 0
    options = {"groups": 2} if name == "GroupNormalization" else {}

    def build(library: Any, x: Any) -> Any:
        return show_mask(library, getattr(library, name)(**options)(library.Masking()(x)))

    assert_matches_keras(*build_both(build, (5, 4)), [x], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerNormalization(axis="last"), "axis must be an integer; received axis='last'"),  # type: ignore[arg-type]
        (lambda: LayerNormalization(axis=[1, 0.5]), r"axis must be a tuple of integers; received axis=\[1, 0.5\]"),  # type: ignore[list-item]
        (lambda: GroupNormalization(groups=0), "groups must be at least 1, or -1 .*groups=0"),
        (lambda: GroupNormalization(4)(Input((6,))), "cannot make 4 groups of 6 channels; expected a divisor of 6"),
        (lambda: GroupNormalization(4)(Input((None,))), "channels of a known number after the batch"),
        (lambda: SpectralNormalization(3), "layer must be a layer; received layer=3"),  # type: ignore[arg-type]
        (lambda: SpectralNormalization(Flatten(), 0), "power_iterations must be an integer of at least 1"),
    ],
)
def test_bad_arguments_of_other_normalizations(make: Any, message: str) -> None:
    with pytest.raises((InvalidArgumentError, ShapeError), match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": [1, 2]}, r"axis must be an integer; received axis=\[1, 2\]"),
        ({"epsilon": "small"}, "epsilon must be a finite number; received epsilon='small'"),
        ({"renorm": True, "renorm_clipping": {"max": 1}}, r"dict of rmax, rmin and dmax; received .*'max': 1"),
        ({"renorm": True, "renorm_clipping": {"rmax": 1, "rmin": 2}}, "rmin must not exceed rmax"),
        ({"renorm": True, "renorm_clipping": {"dmax": -1}}, "dmax.*at least 0; received .*=-1"),
        ({"center": "yes"}, "center must be True or False; received center='yes'"),
    ],
)
def test_bad_arguments_are_repeated(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        BatchNormalization(**options)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"axis=3 is out of range for a tensor of rank 2"):
        BatchNormalization(axis=3)(Input((4,)))
    with pytest.raises(ShapeError, match="every size of a weight must be known"):
        BatchNormalization()(Input((4, None)))
    x = Input((4, 3))
    with pytest.raises(ShapeError, match="mask with one axis less than its input"):
        BatchNormalization()(x, mask=Input((4, 3), dtype="bool"))
