"""Operators of ai.onnx.ml on features: encoders, scalers and linear models. Those of trees are in `trees`.

Results are in float32 as a rule, and in float64 where the features are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.ops.meanings.table import along, means

DOMAIN = "ai.onnx.ml"
NAN = object()  # a key that is found, which a NaN is not


def as_features(x: Array) -> Array:
    """Return numbers to compute with: float64 as it is, and everything else in float32."""
    return x if x.dtype == np.float64 else x.astype(np.float32)


@means("ArrayFeatureExtractor", domain=DOMAIN, exact=True, ranges={1: along(0, -1)})
def array_feature_extractor(x: Array, indices: Array) -> Array:
    """Return some columns; of a single axis, one row of them."""
    found = np.take(x, indices.ravel(), -1)
    return found.reshape(1, -1) if x.ndim == 1 else found


@means("Binarizer", domain=DOMAIN, exact=True)
def binarizer(x: Array, *, threshold: float = 0.0) -> Array:
    """Return 1 for what is above the threshold, and 0 for the rest."""
    return (x > np.float32(threshold)).astype(x.dtype)


@means("Imputer", domain=DOMAIN)
def imputer(
    x: Array,
    *,
    imputed_value_floats: Sequence[float] = (),
    imputed_value_int64s: Sequence[int] = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Array:
    """Return x with one number (or NaN) replaced, by one number or by another in each column."""
    if x.dtype.kind == "f":
        values, missing = np.array(imputed_value_floats, x.dtype), np.array(replaced_value_float, np.float32)
    else:
        values, missing = np.array(imputed_value_int64s, x.dtype), np.array(replaced_value_int64)
    values = values if len(values) == x.shape[-1] else values[:1]
    is_missing = np.isnan(x) if np.isnan(missing) else x == missing
    return np.where(is_missing, values, x)


@means("Scaler", domain=DOMAIN)
def scaler(x: Array, *, offset: Sequence[float] = (0.0,), scale: Sequence[float] = (1.0,)) -> Array:
    """Return ``(x - offset) * scale`` by column."""
    wide = as_features(x)
    return np.asarray((wide - np.array(offset, wide.dtype)) * np.array(scale, wide.dtype))


@means("Normalizer", domain=DOMAIN)
def normalizer(x: Array, *, norm: str = "MAX") -> Array:
    """Return rows divided by their largest element, or by the sum of magnitudes, or by the root of that of squares."""
    wide = as_features(x)
    if norm == "MAX":
        divisor = wide.max(-1, keepdims=True)
    elif norm == "L1":
        divisor = np.abs(wide).sum(-1, keepdims=True)
    else:
        divisor = np.sqrt((wide * wide).sum(-1, keepdims=True))
    return wide / np.where(divisor == 0, 1, divisor)


@means("FeatureVectorizer", domain=DOMAIN)
def feature_vectorizer(*inputs: Array, inputdimensions: Sequence[int] = ()) -> Array:
    """Return the columns of all inputs side by side."""
    return np.concatenate([as_features(x).reshape(len(x), -1) for x in inputs], -1)


@means("OneHotEncoder", domain=DOMAIN)
def one_hot_encoder(
    x: Array, *, cats_int64s: Sequence[int] = (), cats_strings: Sequence[str] = (), zeros: int = 1
) -> Array:
    """Return 1 at the place of each element's category and 0 elsewhere, in a new last axis.

    Where `zeros` is 0, a runtime refuses unknown categories.
    """
    found = (x if cats_strings else x.astype(np.int64))[..., None] == np.array(
        cats_strings or cats_int64s, object if cats_strings else np.int64
    )
    return np.asarray(found, np.float32)


@means("CategoryMapper", domain=DOMAIN)
def category_mapper(
    x: Array,
    *,
    cats_int64s: Sequence[int],
    cats_strings: Sequence[str],
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """Return the number of each text, or the text of each number."""
    if x.dtype == object:
        numbers = dict(zip(cats_strings, cats_int64s, strict=True))
        return mapped(x, lambda text: numbers.get(text, default_int64), np.int64)
    texts = dict(zip(cats_int64s, cats_strings, strict=True))
    return mapped(x, lambda number: texts.get(number, default_string), object)


LISTS = [f"{what}_{kind}" for what in ("keys", "values") for kind in ("strings", "int64s", "floats")]
DEFAULTS = ("default_string", "default_int64", "default_float")


@means("LabelEncoder", domain=DOMAIN, before=2)
def class_encoder(
    x: Array, *, classes_strings: Sequence[str], default_int64: int = -1, default_string: str = "_Unused"
) -> Array:
    """Return the number of each text among the classes, or the text of each number."""
    numbers = range(len(classes_strings))
    return category_mapper(
        x,
        cats_int64s=numbers,
        cats_strings=classes_strings,
        default_int64=default_int64,
        default_string=default_string,
    )


@means("LabelEncoder", domain=DOMAIN, since=2, before=4, more=(*LISTS, *DEFAULTS))
def label_encoder(x: Array, **tables: Any) -> Array:
    """Return for each element the value at its key, or the default if it is no key, as NaN never is."""
    return _looked_up(x, tables, finds_nan=False)


@means(
    "LabelEncoder",
    domain=DOMAIN,
    since=4,
    more=(*LISTS, *DEFAULTS, "keys_tensor", "values_tensor", "default_tensor"),
)
def label_encoder_by_tensors(x: Array, **tables: Any) -> Array:
    """Return for each element the value at its key, or the default if it is no key; NaN may be one."""
    return _looked_up(x, tables, finds_nan=True)


def _looked_up(x: Array, tables: dict[str, Any], finds_nan: bool) -> Array:
    keys = next(_table(name, value) for name, value in tables.items() if name.startswith("keys_"))
    values = next(_table(name, value) for name, value in tables.items() if name.startswith("values_"))
    default = tables.get({"i": "default_int64", "f": "default_float", "O": "default_string"}[values.dtype.kind])
    if "default_tensor" in tables:
        default = tables["default_tensor"].ravel()[0]
    if default is None:
        default = {"i": -1, "f": -0.0, "O": "_Unused"}[values.dtype.kind]
    table = {_key(key): value for key, value in zip(reversed(keys.tolist()), reversed(values.tolist()), strict=True)}
    if not finds_nan:
        table.pop(NAN, None)
    return mapped(x, lambda item: table.get(_key(item), default), values.dtype)


def _table(name: str, values: Any) -> Array:
    """Return the keys or the values that an attribute lists."""
    if isinstance(values, np.ndarray):
        return values.ravel()
    kinds = {"strings": np.dtype(object), "int64s": np.dtype(np.int64), "floats": np.dtype(np.float32)}
    return np.array(values, kinds[name.split("_")[1]])


def _key(item: object) -> object:
    return NAN if item != item else item


def mapped(x: Array, function: Callable[..., object], dtype: object) -> Array:
    """Return what a function gives for each element."""
    result = np.empty(x.size, dtype)  # type: ignore[call-overload]
    result[:] = [function(item) for item in x.ravel().tolist()]
    return np.asarray(result.reshape(x.shape))


def has_known_transform(settings: Mapping[str, Any], types: object) -> bool:
    """Return whether ONNX has the function that `post_transform` names."""
    return settings.get("post_transform", "NONE") in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")


def _scores_are_clear(settings: Mapping[str, Any], types: tuple[TensorType, ...]) -> bool:
    # What a runtime makes of PROBIT and a single score for two classes, nobody means.
    is_probit = settings.get("post_transform") == "PROBIT"
    return has_known_transform(settings, types) and not (is_probit and len(settings.get("intercepts", ())) < 2)


@means("LinearRegressor", domain=DOMAIN, when=has_known_transform)
def linear_regressor(
    x: Array,
    *,
    coefficients: Sequence[float],
    intercepts: Sequence[float] = (),
    post_transform: str = "NONE",
    targets: int = 1,
) -> Array:
    """Return ``x @ coefficients + intercepts`` for each target."""
    wide = as_features(x)
    result = wide @ np.array(coefficients, wide.dtype).reshape(targets, -1).T
    return transformed(result + np.array(intercepts, wide.dtype) if intercepts else result, post_transform)


@means("LinearClassifier", domain=DOMAIN, when=_scores_are_clear)
def linear_classifier(
    x: Array,
    *,
    classlabels_ints: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    coefficients: Sequence[float],
    intercepts: Sequence[float] = (),
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """Return the class with the largest score, and all scores; a single score decides between two classes at 0."""
    wide = as_features(x.reshape(1, -1) if x.ndim == 1 else x)
    labels = as_labels(classlabels_ints, classlabels_strings)
    scores = wide @ np.array(coefficients, wide.dtype).reshape(-1, wide.shape[1]).T
    scores = scores + np.array(intercepts, wide.dtype) if intercepts else scores
    if scores.shape[1] > 1:
        return labels[scores.argmax(1)], transformed(scores, post_transform)
    chosen = labels[(scores[:, 0] > 0).astype(np.int64)] if len(labels) > 1 else np.repeat(labels, len(wide))
    if len(labels) != 2:
        return chosen, transformed(scores, post_transform)
    scores = 1 / (1 + np.exp(-scores)) if post_transform == "LOGISTIC" else scores
    return chosen, np.concatenate([1 - scores, scores], 1)


def as_labels(ints: Sequence[int], strings: Sequence[str]) -> Array:
    """Return the labels of classes, of which one kind is given."""
    return np.array(strings, object) if strings else np.array(ints, np.int64)


def transformed(scores: Array, how: str) -> Array:
    """Return rows of scores after what `post_transform` names; onnxruntime leaves single scores, but for PROBIT."""
    if scores.shape[-1] == 1 and how != "PROBIT":
        return scores
    match how:
        case "NONE":
            return scores
        case "LOGISTIC":
            return 1 / (1 + np.exp(-scores))
        case "SOFTMAX":
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            return np.asarray(weights / weights.sum(-1, keepdims=True))
        case "SOFTMAX_ZERO":
            # What is 0 takes no part, and stays 0.
            top = scores.max(-1, keepdims=True)
            weights = np.where(np.abs(scores) > 1e-7, np.exp(scores - top), 0)
            total = weights.sum(-1, keepdims=True)
            return weights / np.where(total == 0, 1, total)
    return _probit(scores)


def _probit(x: Array) -> Array:
    """Return the inverse of the normal distribution by Winitzki's formula, as onnxruntime does."""
    y = 2 * x - 1
    log = np.log((1 - y) * (1 + y))
    half = 2 / (np.pi * 0.147) + 0.5 * log
    return np.asarray(np.sqrt(2) * np.sign(y) * np.sqrt(-half + np.sqrt(half * half - log / 0.147))).astype(x.dtype)
