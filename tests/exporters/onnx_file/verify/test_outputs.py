"""The comparison of the outputs: what it covered, and what the limits on its cost left out."""

from __future__ import annotations

import numpy as np
import pytest

from kir import layers
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.outputs import describe_probes
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.numerics.probes import choose_probes
from kir.numerics.report import Statement
from tests.numerics.graphs import lowered


def statement_of(graph: Graph) -> Statement:
    report = verify_file(graph, to_model_proto(graph).SerializeToString())
    (statement,) = (one for one in report.statements if one.part == "outputs")
    assert statement.passed
    return statement


def test_what_was_covered() -> None:
    statement = statement_of(lowered(layers.Conv1D(2, 3), (None, 4)))
    assert statement.covered.startswith(
        "1 output on 3 probes (batch 1, 2 and 11; x0_1 71, 3 and 13), against the float64"
    )
    assert not statement.not_shown


def test_probes_in_words() -> None:
    probes = choose_probes(lowered(layers.Dense(2), (4,)), 0)
    assert describe_probes(probes) == "3 probes (batch 1, 2 and 11)"
    assert describe_probes(probes[:1], 11) == "1 probe (batch 1; a row of it in batches of 11)"
    assert describe_probes(probes[:1], 11, 32) == "1 probe (batch 1; a row of it in batches of 11, at 32×32 pixels)"
    given = choose_probes(lowered(layers.Dense(2), (4,)), 0, [{"batch": 5}])
    assert describe_probes(given) == "1 probe (batch 5)"


def test_lengths_that_cost_too_much_are_said_not_to_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = lowered(layers.Conv1D(2, 3, dilation_rate=500, padding="causal"), (None, 4))
    monkeypatch.setattr("kir.numerics.probe_sizes.ENOUGH_WORK", 100_000)
    (finding,) = statement_of(graph).not_shown
    assert str(finding).startswith("not run, for what it costs: batch 1, x0_1 1001 (past ")


def test_saturated_outputs_are_named_with_their_layer() -> None:
    sure = layers.Dense(3, activation="sigmoid", bias_initializer=layers_bias, name="sure")
    (finding,) = statement_of(lowered(sure, (4,))).not_shown
    assert finding.layer == "sure (Dense)"


def layers_bias(shape: tuple[int, ...], dtype: object = None) -> Array:
    return np.array([1e6, -1e6, 1e6], np.float32)
