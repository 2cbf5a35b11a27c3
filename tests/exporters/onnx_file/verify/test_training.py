"""Training exports: right ones pass, and what is wrong with the switch on alone is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

import kir
from kir import layers
from kir.errors import MismatchError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.training import check_training
from kir.ir.graph import Graph
from kir.modeling.lower import lower
from kir.numerics.report import Statement


def graph_of(
    *stack: Any, shape: tuple[int | None, ...] = (8,), dtype: str = "float32", batch: int | None = None
) -> Graph:
    x = kir.Input(shape, name="x", dtype=dtype.removeprefix("mixed_"), batch_size=batch)
    return lower(kir.Sequential([x, *stack]), training=True)


def statement(graph: Graph, model: ModelProto | None = None) -> Statement:
    said = check_training(graph, (model or to_model_proto(graph)).SerializeToString())
    assert said is not None
    return said


RIGHT: dict[str, Callable[[], Graph]] = {
    "dropout": lambda: graph_of(layers.Dropout(0.3), layers.Dense(3, "tanh")),
    "rare dropout": lambda: graph_of(layers.Dropout(0.001), layers.Dense(3)),
    "seeded": lambda: graph_of(layers.Dropout(0.4, seed=3), layers.Dense(4), layers.Dropout(0.4, seed=4)),
    "noise": lambda: graph_of(layers.Dense(5), layers.GaussianNoise(0.3), layers.Dense(2, "softmax")),
    "tiny noise": lambda: graph_of(layers.GaussianNoise(1e-6)),
    "no noise": lambda: graph_of(layers.GaussianNoise(0.0), layers.Dropout(0.5)),
    "gaussian dropout": lambda: graph_of(layers.GaussianDropout(0.4), layers.Dense(3)),
    "alpha dropout": lambda: graph_of(layers.Dense(6, "selu"), layers.AlphaDropout(0.2)),
    "one choice for all rows": lambda: graph_of(layers.Dropout(0.5, noise_shape=(1, 8)), layers.Dense(3)),
    "channels": lambda: graph_of(layers.SpatialDropout1D(0.5), layers.LSTM(3), shape=(None, 4)),
    "float16": lambda: graph_of(
        layers.Dense(6, "relu", dtype="mixed_float16"),
        layers.Dropout(0.3, dtype="mixed_float16"),
        layers.LayerNormalization(dtype="mixed_float16"),
    ),
    "batch of 3": lambda: graph_of(layers.GaussianNoise(0.5), layers.Dropout(0.5), layers.Dense(2), batch=3),
    "a mean of rows": lambda: graph_of(layers.Dropout(0.5), layers.Lambda(lambda x: x - kir.backend.mean(x, axis=0))),
    "a choice of classes": lambda: graph_of(
        layers.Dropout(0.5), layers.Lambda(lambda x: kir.backend.argmax(x, axis=-1))
    ),
    "overflow": lambda: graph_of(
        layers.GaussianNoise(1.0), layers.Rescaling(9.0), layers.Lambda(lambda x: kir.backend.exp(kir.backend.exp(x)))
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_files_pass(case: str) -> None:
    said = statement(RIGHT[case]())
    assert not said.problems, str(said)
    assert not said.not_shown


def of_type(model: ModelProto, name: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == name)


def scale_noise(model: ModelProto) -> None:
    next(one for one in of_type(model, "RandomNormalLike").attribute if one.name == "scale").f *= 1.5


def move_noise(model: ModelProto) -> None:
    next(one for one in of_type(model, "RandomNormalLike").attribute if one.name == "mean").f += 0.2


def scale_when_on(model: ModelProto) -> None:
    """Multiply what is kept by a little more, after the mask, where the switch is on."""
    masked = of_type(model, "Where")
    result, masked.output[0] = masked.output[0], "masked"
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.15, np.float32), "more"))
    model.graph.node.insert(2, helper.make_node("Mul", ["masked", "more"], ["scaled"]))
    model.graph.node.insert(3, helper.make_node("Where", ["training_mode", "scaled", "masked"], [result]))


def noisy() -> Graph:
    return graph_of(layers.GaussianNoise(0.3, name="noise"), layers.Dense(2, name="y"))


def dropping() -> Graph:
    return graph_of(layers.Dropout(0.3, name="drop"), layers.Dense(2, name="y"))


WRONG: dict[str, tuple[Callable[[], Graph], Callable[[ModelProto], object], str]] = {
    "more noise": (noisy, scale_noise, "layer noise: the deviation of"),
    "noise of another mean": (noisy, move_noise, "layer noise: the mean of"),
    "more of what is kept": (dropping, scale_when_on, "y: with the switch on it is distributed otherwise"),
}


@pytest.mark.parametrize("names", [True, False], ids=["as kir writes it", "without names of layers"])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_the_switch_on_alone_fails(case: str, names: bool) -> None:
    make, change, expected = WRONG[case]
    graph = make()
    model = to_model_proto(graph)
    change(model)
    if not names:
        for node in model.graph.node:
            del node.metadata_props[:]
        expected = "y: with the switch on it is distributed otherwise"
    problems = [str(one) for one in statement(graph, model).problems]
    assert any(one.startswith(expected) for one in problems), problems


def test_layers_that_share_a_seed_are_not_compared_in_sum() -> None:
    graph = graph_of(layers.Dropout(0.4, seed=3), layers.Dropout(0.4, seed=3))
    assert [one.text for one in statement(graph).not_shown] == [
        "several layers draw with one seed, so that what they draw depends on each other"
    ]


def flip(model: ModelProto) -> None:
    switch = next(one for one in model.graph.initializer if one.name == "training_mode")
    switch.CopyFrom(numpy_helper.from_array(np.array(False), "training_mode"))


def add_default(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 8), np.float32), "x"))


DEFAULTS = {
    "flipped": (flip, "input 'training_mode' is False unless fed in the file, True in the model"),
    "added": (add_default, "input 'x' has a default in the file, and none in the model"),
}


@pytest.mark.parametrize("case", DEFAULTS)
def test_other_defaults_are_seen_in_files_of_other_tools(case: str, tmp_path: Path) -> None:
    change, message = DEFAULTS[case]
    x = kir.Input((8,), name="x", batch_size=1)
    model = kir.Sequential([x, layers.Dropout(0.5), layers.Dense(2)])
    file = tmp_path / "m.onnx"
    kir.export(model, file, training=True)
    proto = onnx.load(file)
    proto.producer_name = "other"
    proto.graph.node.append(helper.make_node("Identity", ["x"], ["unused"]))
    change(proto)
    onnx.save(proto, file)
    try:
        report = str(kir.verify(model, file, training=True))
    except MismatchError as error:
        report = str(error)
    assert message in report
