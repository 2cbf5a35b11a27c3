"""TensorFlow's functions on tensors: in a Lambda, between layers, and as Keras 2 recorded them, against TensorFlow."""

from __future__ import annotations

import functools
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Model
from kir.errors import UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.keras_file import model_from_config
from kir.importers.keras_stand_in import StandIn
from kir.layers import Lambda
from kir.support.trees import flatten
from tests.importers.tensorflow_functions.cases import CASES, Case

ARCHIVE = Path(__file__).with_name("values.tar.xz")
# Keras 2 does not write all operands of these.
WITHOUT_OPERANDS = ("comparisons", "einsum", "meshgrid", "meshgrid ij")
# Python's operators on kir's own tensors promote as Keras 3 does.
OF_TENSORFLOW_ALONE = "operators on "
TRACED = [name for name in CASES if not name.startswith(OF_TENSORFLOW_ALONE)]


@functools.cache
def archive() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values by case and number, and the models by case."""
    with lzma.open(ARCHIVE) as file, tarfile.open(fileobj=file) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    with np.load(io.BytesIO(members["values.npz"])) as values:
        return dict(values), json.loads(members["models.json"])


def wanted(name: str) -> list[Any]:
    values = archive()[0]
    return [values[key] for key in sorted((key for key in values if key.rpartition("/")[0] == name), key=_number)]


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])


def check(got: list[Any], name: str) -> None:
    expected = wanted(name)
    assert len(got) == len(expected)
    for one, value in zip(got, expected, strict=True):
        array = np.asarray(one)
        assert array.shape == value.shape
        assert array.dtype == value.dtype
        if array.dtype.kind == "f":
            tolerance = 2e-3 if array.dtype.itemsize == 2 else 2e-5
            np.testing.assert_allclose(
                array, value, tolerance, tolerance * max(1.0, float(np.abs(value).max(initial=0)))
            )
        else:
            np.testing.assert_array_equal(array, value)


RECORDED = [name for name in CASES if name in archive()[1] and name not in WITHOUT_OPERANDS]
# With other numbers of samples, or other indices, these do not run, and products of integers overflow.
FOR_SOME_INPUTS = frozenset(
    {"broadcast_to", "gather", "gather_nd", "math.reduce_prod", "reverse_sequence", "tensor_scatter_nd_update"}
)


@functools.cache
def tensorflow() -> Any:
    return StandIn(True).module("tensorflow")


def inputs_of(case: Case) -> list[Any]:
    return [Input(given.declared, dtype=given.dtype) for given in case.given]


@pytest.mark.parametrize("name", TRACED)
def test_a_lambda(name: str) -> None:
    case = CASES[name]
    inputs = inputs_of(case)
    layer = Lambda(lambda given: case.function(tensorflow(), *(given if len(inputs) > 1 else [given])))
    model = Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    check(flatten(model.predict(case.feeds(name))), name)


@pytest.mark.parametrize("name", TRACED)
def test_between_layers(name: str) -> None:
    case = CASES[name]
    inputs = inputs_of(case)
    outputs = flatten(case.function(tensorflow(), *inputs))
    check(flatten(Model(inputs, outputs).predict(case.feeds(name))), name)


@pytest.mark.parametrize("name", RECORDED)
def test_as_keras_2_recorded_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = model_from_config(archive()[1][name])
    check(flatten(model.predict(case.feeds(name))), name)
    export_model(model, tmp_path / "m.onnx", ExportOptions(verify=False))
    feeds = dict(zip(model.input_names, case.feeds(name), strict=True))
    check(list(run_session(make_session(tmp_path / "m.onnx"), feeds).values()), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECORDED if name.split()[0] not in FOR_SOME_INPUTS])
def test_what_keras_2_recorded_verifies(name: str, tmp_path: Path) -> None:
    export_model(model_from_config(archive()[1][name]), tmp_path / "m.onnx")


@pytest.mark.parametrize("name", WITHOUT_OPERANDS)
def test_operands_that_keras_2_did_not_write_are_missed(name: str) -> None:
    with pytest.raises(UnsupportedError, match="does not hold all operands"):
        model_from_config(archive()[1][name])


def test_every_case_has_values() -> None:
    assert {key.rpartition("/")[0] for key in archive()[0]} == set(CASES)


def test_almost_every_case_is_recorded() -> None:
    assert len(set(CASES) - set(archive()[1])) < 10
