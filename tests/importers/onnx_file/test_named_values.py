"""What a file calls the values of the graph that is read in it: onnxruntime computes there what the graph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kir
from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.session import run_session
from kir.importers.onnx_file import import_named
from kir.ir.interpreter import Plan
from kir.ir.structural import Constant, Input, Output
from kir.numerics.feeds import random_feeds
from kir.numerics.probes import choose_probes

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*.py"))


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_names_are_those_of_the_values(model: Path, level: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    kir.export(model, path, verify=False, level=level)
    graph, names = import_named(path)
    computing = [node for node in graph.order() if not isinstance(node.op, Input | Constant | Output)]
    read = {value for node in graph.order() for value in node.inputs}
    values = [value for node in computing for value in node.outputs if value in names]
    assert all(value in names for node in computing for value in node.outputs if value in read)
    feeds = random_feeds(graph, [0], choose_probes(graph, 0)[0].sizes)
    with lean_model(path) as lean:
        found = feeds | run_session(lean.session_with(list(dict.fromkeys(names[value] for value in values))), feeds)
    for value, expected in Plan(graph, keep=values).run_kept(feeds, None).items():
        actual = found[names[value]]
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_weights_are_named_too(tmp_path: Path) -> None:
    model = next(path for path in MODELS if path.stem == "mnist_mlp")
    kir.export(model, tmp_path / "m.onnx", verify=False)
    graph, names = import_named(tmp_path / "m.onnx")
    labels = {node.op.label: names[node.output] for node in graph.order() if isinstance(node.op, Constant)}
    assert labels["dense/kernel"] == "dense/kernel"
    assert names.keys() <= {value for node in graph.order() for value in node.outputs}
