"""Encoders, scalers and linear models, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import ML, Array, Numbers, check, has_meaning, texts

f = Numbers()
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def test_columns() -> None:
    for x in (f(3, 5), f.integers(9, 3, 5), f(5)):
        check("ArrayFeatureExtractor", x, [4, 0, 1], domain=ML)
    check("ArrayFeatureExtractor", texts("a", "b", "c"), [2, 0], domain=ML)
    check("FeatureVectorizer", f(3, 2), f(3, 4), inputdimensions=[2, 4], domain=ML)


def test_thresholds_are_compared_in_float32() -> None:
    check("Binarizer", np.array([[0.1, 0.3, -1]], np.float32), threshold=0.1, domain=ML)


def test_imputer() -> None:
    x = f(3, 4)
    x[0, 0], x[1, 1] = np.nan, 0.1
    by_column = [1.0, 2.0, 3.0, 4.0]
    check("Imputer", x, imputed_value_floats=by_column, replaced_value_float=float("nan"), domain=ML)
    check("Imputer", x, imputed_value_floats=[1.0], replaced_value_float=0.1, domain=ML)
    check("Imputer", f.integers(3, 3, 4), imputed_value_int64s=[9], replaced_value_int64=1, domain=ML)


@pytest.mark.parametrize("x", [f(3, 4), f.integers(9, 3, 4), np.zeros((2, 4), np.float32), -np.abs(f(2, 4))])
def test_scales(x: Array) -> None:
    check("Scaler", x, offset=[1.0, 2.0, 3.0, 4.0], scale=[0.5, 2.0, 3.0, 0.1], domain=ML)
    check("Scaler", x, offset=[1.0], scale=[0.5], domain=ML)
    for norm in ("MAX", "L1", "L2"):
        check("Normalizer", x, norm=norm, domain=ML)


def test_categories() -> None:
    numbers, words = {"cats_int64s": [5, 6]}, {"cats_strings": ["a", "b"]}
    for zeros in (0, 1):
        check("OneHotEncoder", [[5, 6], [6, 5]], zeros=zeros, domain=ML, **numbers)
    check("OneHotEncoder", [[5, 9]], domain=ML, **numbers)
    check("OneHotEncoder", texts("a", "z"), domain=ML, **words)
    check("CategoryMapper", texts("a", "z"), domain=ML, version=1, **numbers, **words)
    check("CategoryMapper", [5, 9], domain=ML, version=1, **numbers, **words)


KEYS: list[tuple[str, list[Any], Array]] = [
    ("strings", ["a", "b"], texts("a", "z")),
    ("int64s", [1, 2], np.array([2, 7])),
    ("floats", [0.1, float("nan")], np.array([0.1, np.nan, 3], np.float32)),
]


@pytest.mark.parametrize(("kind", "keys", "x"), KEYS)
@pytest.mark.parametrize("version", [2, 4])
def test_label_encoder(kind: str, keys: list[Any], x: Array, version: int) -> None:
    for values in ({"values_strings": ["A", "B"]}, {"values_int64s": [10, 20]}, {"values_floats": [1.5, 2.5]}):
        check("LabelEncoder", x, domain=ML, version=version, **{f"keys_{kind}": keys}, **values)


def test_label_encoder_by_classes() -> None:
    check("LabelEncoder", texts("a", "z", "b"), classes_strings=["a", "b"], domain=ML, version=1)
    check("LabelEncoder", [0, 1, 7], classes_strings=["a", "b"], domain=ML, version=1)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_models(transform: str) -> None:
    x = np.abs(f(5, 3)) * 0.1 if transform == "PROBIT" else f(5, 3)
    positive = (np.abs(f(9)) * 0.3).tolist()
    how = {"post_transform": transform, "domain": ML, "rtol": 1e-4}
    check("LinearRegressor", x, coefficients=positive[:6], intercepts=[0.1, 0.2], targets=2, **how)
    check("LinearRegressor", x, coefficients=positive[:3], **how)
    three = {"coefficients": positive, "intercepts": [0.1, 0.2, 0.05], "classlabels_ints": [3, 5, 7]}
    two = {"coefficients": positive[:6], "intercepts": [0.1, 0.2], "classlabels_strings": ["n", "p"]}
    one = {"coefficients": [0.4, -0.8, 0.1], "intercepts": [0.1], "classlabels_ints": [4, 6]}
    for model in (three, two, one):
        if model is not one or transform != "PROBIT":
            check("LinearClassifier", x, outputs=2, **model, **how)
    check("LinearClassifier", f.integers(5, 4, 3), outputs=2, **three, domain=ML)


def test_what_nobody_means_has_no_meaning() -> None:
    how = {"domain": ML, "version": 1, "coefficients": [1.0], "intercepts": [0.5]}
    assert has_meaning("LinearClassifier", "i64[3]; f32[3,2]", post_transform="LOGISTIC", **how)
    assert not has_meaning("LinearClassifier", "i64[3]; f32[3,2]", post_transform="PROBIT", **how)
    assert not has_meaning("LinearRegressor", "f32[3,2]", post_transform="OTHER", **how)
