"""Functions of `kir.backend` that are made of others, against those of Keras: on arrays, traced, and in onnxruntime."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Model
from kir import backend as K
from kir.backend.unsupported import REASONS
from kir.errors import TraceError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session
from kir.layers import Lambda
from kir.support.trees import flatten

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 4)).astype(np.float32)
Y = RANDOM.normal(size=(3, 4)).astype(np.float32)
CUBE = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
SQUARE = RANDOM.normal(size=(4, 4)).astype(np.float32)
ODD = np.array([[1, np.nan, -2, 0], [np.nan, np.nan, np.nan, np.nan], [np.inf, 2, -np.inf, -0.0]], np.float32)
HOLES = np.array([[1, np.nan, -2, 0], [3, np.nan, 2, np.nan], [7, 2, 5, -1]], np.float32)
WHOLE = RANDOM.integers(-5, 6, (3, 4)).astype(np.int32)
VECTOR = np.array([3.0, -1, 2, 0.5], np.float32)
THREES = RANDOM.normal(size=(2, 5, 3)).astype(np.float32)
IMAGE = RANDOM.normal(size=(2, 4, 6, 8)).astype(np.float32)
RISING = np.array([-1.0, 0, 0, 2.5], np.float32)
IDS = np.array([0, 2, 0])

# The name, the tensors, and the other arguments.
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("append", (X, Y), {}),
    ("append", (X, Y), {"axis": 1}),
    *(("array_split", (X,), {"indices_or_sections": parts, "axis": 1}) for parts in (3, 2)),
    *((name, (X,), {}) for name in ("conj", "conjugate", "copy", "real", "fabs", "cbrt", "sinc", "signbit", "isreal")),
    *((name, (ODD,), {}) for name in ("isneginf", "isposinf", "signbit", "fabs")),
    *(("cross", (THREES, THREES[::-1].copy()), axes) for axes in ({}, {"axisc": 0})),
    ("cross", (THREES[..., :2].copy(), THREES[..., :2][::-1].copy()), {}),
    ("cross", (THREES[..., :2].copy(), THREES), {}),
    *(("diag", (VECTOR,), {"k": k}) for k in (0, 1, -2)),
    *(("diag", (X,), {"k": k}) for k in (0, 1, -1, 3)),
    *(("diagflat", (X,), {"k": k}) for k in (0, -1)),
    *(("diagonal", (CUBE,), options)
      for options in ({}, {"offset": 1, "axis1": 2, "axis2": 0}, {"axis1": 1, "axis2": 2})),
    *(("trace", (SQUARE,), {"offset": offset}) for offset in (0, 2, -1)),
    ("trace", (CUBE,), {"axis1": 1, "axis2": 2}),
    *((name, (CUBE,), {"indices_or_sections": 2}) for name in ("dsplit", "vsplit")),
    ("hsplit", (X,), {"indices_or_sections": 2}),
    ("hsplit", (VECTOR,), {"indices_or_sections": [1, 2]}),
    *((name, (CUBE,), {}) for name in ("fliplr", "flipud")),
    *(("rot90", (CUBE,), {"k": k, "axes": axes}) for k in (0, 1, 2, 3, 5, -1) for axes in ((0, 1), (2, 1))),
    *(("kron", pair, {}) for pair in ((X, SQUARE), (VECTOR, X), (CUBE, VECTOR))),
    *(("vander", (VECTOR,), options) for options in ({}, {"N": 3, "increasing": True})),
    *((name, (X, Y), {}) for name in ("fmax", "fmin", "heaviside", "logaddexp2")),
    *((name, (ODD, Y), {}) for name in ("fmax", "fmin", "heaviside")),
    ("ldexp", (X, WHOLE), {}),
    *((f"{name}_to_{other}", (IMAGE,), {"block_size": 2, "data_format": f"channels_{end}"})
      for name, other in (("depth", "space"), ("space", "depth")) for end in ("first", "last")),
    ("unravel_index", (np.array([0, 7, 11]),), {"shape": (3, 4)}),
    ("scatter", (np.array([[0, 1], [2, 3], [0, 1]]), VECTOR[:3].copy()), {"shape": (3, 4)}),
    ("scatter_update", (X, np.array([[0, 1], [2, 3]]), VECTOR[:2].copy()), {}),
    ("scatter_update", (X, np.array([[1], [2]]), Y[:2].copy()), {}),
    *(("segment_sum", (data, IDS), {"num_segments": 4}) for data in (VECTOR[:3].copy(), X, WHOLE)),
    ("allclose", (X, X + 1e-9), {}),
    ("digitize", (X, RISING), {}),
    *(("searchsorted", (RISING, values), {"side": side}) for values in (X, RISING) for side in ("left", "right")),
    *(("isin", (WHOLE, WHOLE[:1].copy()), {"invert": invert}) for invert in (False, True)),
    *(("in_top_k", (np.array([0, 2, 1]), X), {"k": k}) for k in (1, 2)),
    *(("multi_hot", (np.array([[0, 2], [1, 1]]),), {"num_classes": 4}) for _ in (0,)),
    *(("trapezoid", (CUBE,), options) for options in ({}, {"dx": 0.5, "axis": 1})),
    ("trapezoid", (X, Y), {}),
    *(("cumprod", (X,), {"axis": axis}) for axis in (None, 0, 1)),
    ("cumprod", (WHOLE,), {"axis": 1}),
    *(("cdist", (X, SQUARE), {}) for _ in (0,)),
    *((f"nan{name}", (HOLES,), {"axis": axis}) for axis in (None, 0, 1)
      for name in ("sum", "prod", "mean", "max", "min", "var", "std")),
    *((f"nan{name}", (HOLES,), {"axis": 1}) for name in ("cumsum", "cumprod", "argmax", "argmin")),
    *((f"nan{name}", (WHOLE,), {"axis": 1}) for name in ("sum", "max", "mean")),
    *(("median", (given,), {"axis": axis, "keepdims": keep}) for given in (X, CUBE[:, :, :3].copy())
      for axis, keep in ((None, False), (1, True), (0, False))),
    *(("median", (given,), {"axis": 1}) for given in (HOLES, WHOLE)),
    *(("quantile", (X,), {"q": q, "axis": axis}) for q in (0.3, [0.0, 0.5, 1.0]) for axis in (None, 1)),
    *(("quantile", (X,), {"q": 0.4, "method": method}) for method in ("lower", "higher", "midpoint")),
    ("quantile", (CUBE,), {"q": [0.2, 0.9], "axis": (0, 2), "keepdims": True}),
    ("percentile", (X,), {"q": 35.0, "axis": 0}),
    *(("layer_normalization", (CUBE, *weights), {"axis": axis})
      for weights, axis in (((), -1), ((VECTOR, VECTOR * 2), -1), ((CUBE[0], CUBE[1]), (1, 2)))),
    *(("rms_normalization", (CUBE, *weights), {}) for weights in ((), (VECTOR,))),
    ("layer_normalization", (CUBE.astype(np.float16) * 100,), {}),
    ("rms_normalization", (CUBE.astype(np.float16) * 100,), {}),
    ("psnr", (X, Y), {"max_val": 2.0}),
    *(("saturate_cast", (x,), {"dtype": dtype}) for dtype in ("uint8", "int8", "float16")
      for x in (np.array([-500.0, 0, 3.7, 255.5, 1e9], np.float32), np.array([-500, 7, 70000], np.int32))),
]  # fmt: skip


def of(name: str, library: Any) -> Any:
    return getattr(library, name)


@pytest.mark.parametrize(("name", "tensors", "options"), CASES, ids=lambda one: one if isinstance(one, str) else "")
def test_what_keras_gives(name: str, tensors: tuple[Any, ...], options: dict[str, Any]) -> None:
    theirs = [np.asarray(one) for one in flatten(of(name, keras.ops)(*(x.copy() for x in tensors), **options))]
    ours = [np.asarray(one) for one in flatten(of(name, K)(*tensors, **options))]
    assert_alike(ours, theirs)
    inputs = [Input(batch_shape=x.shape, dtype=str(x.dtype)) for x in tensors]
    called = of(name, K)
    layer = Lambda(lambda given: called(*(given if isinstance(given, list) else [given]), **options), autocast=False)
    model = Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    traced = flatten(model.predict(list(tensors) if len(tensors) > 1 else tensors[0]))
    assert_alike([np.asarray(one) for one in traced], theirs)
    session = make_session(to_model_proto(model.to_graph()).SerializeToString())
    names = [one.name for one in session.get_inputs()]
    found = session.run({name: x for name, x in zip(model.input_names, tensors, strict=True) if name in names})
    assert_alike([found[one.name] for one in session.get_outputs()], theirs)


def assert_alike(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        rounding = 1e-2 if one.dtype == np.float16 else 2e-6
        np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_gray_images(dtype: str) -> None:
    image = (RANDOM.random((2, 4, 5, 3)) * 200).astype(dtype)
    for x, data_format in ((image, "channels_last"), (image[0], "channels_last"), (image[:, :3], "channels_first")):
        theirs = np.asarray(keras.ops.image.rgb_to_grayscale(x, data_format))
        assert_alike([np.asarray(K.image.rgb_to_grayscale(x, data_format))], [theirs])


def test_meshgrids() -> None:
    for vectors in ((VECTOR,), (VECTOR, X[0, :2]), (VECTOR, X[0, :2], X[1, :3])):
        for indexing in ("xy", "ij"):
            assert_alike(K.meshgrid(*vectors, indexing=indexing), keras.ops.meshgrid(*vectors, indexing=indexing))


def test_joining_and_choosing() -> None:
    assert_alike([K.dstack([X, Y])], [keras.ops.dstack([X, Y])])
    assert_alike([K.dstack([VECTOR, VECTOR])], [keras.ops.dstack([VECTOR, VECTOR])])
    conditions, choices = [X > 1, X > 0], [X, Y]
    assert_alike([K.select(conditions, choices, 7.0)], [keras.ops.select(conditions, choices, 7.0)])


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
def test_windows(name: str) -> None:
    assert_alike([np.asarray(of(name, K)(7))], [np.asarray(of(name, keras.ops)(7))])


def test_numbers_that_are_spaced() -> None:
    assert_alike([np.asarray(K.kaiser(6, 2.0))], [np.asarray(keras.ops.kaiser(6, 2.0))])
    assert_alike([np.asarray(K.logspace(0.0, 2.0, 5))], [np.asarray(keras.ops.logspace(0.0, 2.0, 5))])
    assert_alike([np.asarray(K.geomspace(1.0, 8.0, 4))], [np.asarray(keras.ops.geomspace(1.0, 8.0, 4))])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: K.cumprod(x, axis=0), "K.cumprod needs a known size; received batch"),
        (lambda x: K.median(x, axis=0), "K.quantile needs known sizes"),
        (lambda x: K.quantile(x, 2.0, axis=1), "shares from 0 to 1; received q=2"),
        (lambda x: K.quantile(x, 0.5, axis=1, method="nearest"), "no method='nearest'"),
        (lambda x: K.segment_sum(x, np.array([0])), "needs num_segments"),
        (lambda x: K.array_split(x, 2), "K.array_split needs a known size"),
        (lambda x: K.scatter_update(x, [[0]], [0.0], "add"), "reduction='add'"),
        (lambda x: K.meshgrid(x, indexing="yx"), "indexing='yx'"),
        (lambda x: K.searchsorted(x, x), "takes a vector"),
    ],
)
def test_what_cannot_be_said(call: Any, message: str) -> None:
    given = Input((3,))
    with pytest.raises(TraceError, match=message):
        Model(given, Lambda(call)(given)).to_graph()


def public_operations() -> set[str]:
    """Return the names of the functions of `keras.ops` and of its parts."""
    parts = [keras.ops, keras.ops.image, keras.ops.linalg, keras.ops.nn, keras.ops.numpy]
    return {
        name
        for part in parts
        for name, value in vars(part).items()
        if name[0] != "_" and callable(value) and not inspect.ismodule(value)
    }


def test_every_operation_of_keras_is_here_or_its_absence_is_explained() -> None:
    """A function that a new Keras brings shows up here."""
    absent = {name for name in public_operations() if not hasattr(K, name) and not hasattr(K.image, name)}
    assert absent - set(REASONS) == set(), "kir lacks these, and kir/backend/unsupported.py does not say why"
    assert {name for name in REASONS if hasattr(K, name) or hasattr(K.image, name)} == set(), "kir has these"


def test_the_reason_is_said() -> None:
    with pytest.raises(AttributeError, match=r"K.svd cannot be traced: it decomposes matrices"):
        K.svd  # noqa: B018
