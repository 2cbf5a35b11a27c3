"""Sessions: providers, inputs, and the errors of both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from kir.errors import CrashError, FormatError, InvalidArgumentError, ProviderError, ShapeError, UnsupportedError
from kir.exporters.onnx_file import export_graph, session, to_model_proto
from kir.exporters.onnx_file.session import (
    CPU,
    OPTIMIZATIONS,
    PROVIDERS,
    Settings,
    fallback_nodes,
    import_onnxruntime,
    make_session,
    node_providers,
    provider_name,
    run_session,
    usual_settings,
)
from kir.exporters.onnx_file.worker import SameProcess
from kir.ir.graph import Graph, Origin
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import as_dtype, parse_type
from kir.ops.elementwise import Clip
from kir.ops.random import RandomNormalLike
from kir.ops.recurrent import GRU, LSTM, RNN, SIGMOID, TANH
from kir.ops.shape import Concat, Reshape
from tests.exporters.onnx_file.graphs import mlp, weight

FEEDS = {"features": np.ones((2, 8), np.float32)}


def model() -> bytes:
    return bytes(to_model_proto(mlp()).SerializeToString())


@pytest.mark.parametrize("given", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_a_provider_has_a_short_and_a_long_name(given: str) -> None:
    assert provider_name(given) == CPU


def test_short_names_are_those_of_onnxruntime() -> None:
    known = set(import_onnxruntime().get_all_providers())
    missing = {name for name in PROVIDERS.values() if name not in known}
    # Taken out of newer releases, or built into special ones; older ones still have them.
    assert missing <= {"ACLExecutionProvider", "ROCMExecutionProvider"}


def test_a_provider_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(ProviderError, match=r"'coreml' is not installed; installed are: .*cpu"):
        make_session(model(), "coreml")


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"unknown provider 'gpu'; expected one of .*cuda.*; installed are: .*cpu"):
        make_session(model(), "gpu")


def test_a_provider_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "provider_name", lambda provider: PROVIDERS["cuda"])
    monkeypatch.setattr(session, "_read", lambda *given: import_onnxruntime().InferenceSession(model()))
    monkeypatch.setattr(session, "shared_worker", lambda uses_device: SameProcess())
    with pytest.raises(ProviderError, match="'cuda' is installed and could not start"):
        make_session(model(), "cuda")


class FakeOnnxRuntime:
    """An onnxruntime with all providers, of which only that of the CPU loads models."""

    def __init__(self) -> None:
        self.real = import_onnxruntime()
        self.asked: list[Any] = []
        self.SessionOptions = self.real.SessionOptions
        self.GraphOptimizationLevel = self.real.GraphOptimizationLevel

    def get_available_providers(self) -> list[str]:
        return [*PROVIDERS.values()]

    def InferenceSession(self, source: Any, options: Any = None, providers: Any = ()) -> Any:
        self.asked.append(providers)
        if providers[0] != CPU:
            raise RuntimeError("a long story:\n\n  and at its bottom,\n  no such kernel")
        return self.real.InferenceSession(source, options, providers=providers)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeOnnxRuntime:
    made = FakeOnnxRuntime()
    monkeypatch.setattr(session, "import_onnxruntime", lambda: made)
    monkeypatch.setattr(session, "shared_worker", lambda uses_device: SameProcess())
    return made


@pytest.mark.parametrize(
    ("provider", "name", "options"),
    [
        ("cuda", "CUDAExecutionProvider", {"use_tf32": "0"}),
        ("CUDAExecutionProvider", "CUDAExecutionProvider", {"use_tf32": "0"}),
        ("cuda-tf32", "CUDAExecutionProvider", {}),
        ("openvino", "OpenVINOExecutionProvider", {"precision": "ACCURACY"}),
    ],
)
def test_providers_compute_in_the_precision_of_the_model(
    provider: str, name: str, options: dict[str, str], fake: FakeOnnxRuntime
) -> None:
    with pytest.raises(UnsupportedError):
        make_session(model(), provider)
    assert fake.asked[0] == [(name, options), (CPU, {})]


def test_a_provider_that_cannot_load_what_the_cpu_can_says_so(fake: FakeOnnxRuntime) -> None:
    with pytest.raises(UnsupportedError, match=r"openvino cannot load .* cpu can; .*and at its bottom, no such kernel"):
        make_session(model(), "openvino")


def test_a_file_that_is_absent_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no file .*absent\.onnx"):
        make_session(tmp_path / "absent.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(FormatError, match=r"onnxruntime cannot load .*bad\.onnx"):
        make_session(tmp_path / "bad.onnx")


def test_one_thread_and_no_optimizations(tmp_path: Path) -> None:
    report = export_graph(mlp(), tmp_path / "m.onnx")
    plain = make_session(report.path, threads=1, optimize=False)
    np.testing.assert_allclose(
        run_session(plain, FEEDS)["scores"], run_session(make_session(report.path), FEEDS)["scores"], rtol=1e-5
    )


@pytest.mark.parametrize("optimization", OPTIMIZATIONS)
def test_every_level_of_optimisation_computes_the_same(optimization: str) -> None:
    usual = run_session(make_session(model()), FEEDS)["scores"]
    with usual_settings(2, optimization):
        np.testing.assert_allclose(run_session(make_session(model()), FEEDS)["scores"], usual, rtol=1e-5)


def test_other_settings_hold_where_the_caller_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr(session, "Session", lambda worker, model, provider, settings: made.append(settings))
    with usual_settings(2, "basic"):
        make_session(model())
        make_session(model(), threads=1, optimize=False)
    make_session(model())
    assert made == [Settings(2, "basic"), Settings(1, "disabled"), Settings()]


@pytest.mark.parametrize(
    ("feeds", "error", "expected"),
    [
        ({}, InvalidArgumentError, r"no value for the inputs \['features'\]; .*features: float32\[batch, 8\]"),
        ({"y": np.ones(1)}, InvalidArgumentError, r"inputs \['features'\], but values for \['y'\]; the model takes"),
        ({**FEEDS, "y": np.ones(1)}, InvalidArgumentError, r"unknown inputs \['y'\]"),
        ({"features": np.ones((2, 8))}, ShapeError, r"received float64\[2, 8\] for the input 'features'"),
        ({"features": np.ones(8, np.float32)}, ShapeError, r"received float32\[8\]"),
        ({"features": np.ones((2, 9), np.float32)}, ShapeError, r"received float32\[2, 9\]"),
    ],
)
def test_wrong_inputs_are_refused(feeds: dict[str, np.ndarray], error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        run_session(make_session(model()), feeds)


def test_what_onnxruntime_refuses_is_an_error_of_kir() -> None:
    graph = Graph()
    inputs = [graph.add(Input(name, parse_type("f32[n, m]"))).output for name in ("a", "b")]
    graph.add(Output("y"), graph.add(Concat(0), *inputs).output)
    running = make_session(to_model_proto(graph).SerializeToString())
    with pytest.raises(ShapeError, match="onnxruntime cannot run the model on these inputs"):
        run_session(running, {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 3), np.float32)})


def test_bfloat16_goes_in_and_out() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("bf16[n, 2]"))).output
    graph.add(Output("y"), graph.add(Concat(0), x, x).output)
    x_value = np.array([[1.5, -2]], ml_dtypes.bfloat16)
    result = run_session(make_session(to_model_proto(graph).SerializeToString()), {"x": x_value})
    np.testing.assert_array_equal(result["y"], np.concatenate([x_value, x_value]), strict=True)


def test_a_model_is_loaded_anew_where_its_process_died_of_another() -> None:
    feeds = {"features": np.ones((2, 8), np.float32)}
    session = make_session(to_model_proto(mlp()).SerializeToString())
    before = run_session(session, feeds)
    with pytest.raises(CrashError):
        session._worker.call("dying of another model", os.abort)
    np.testing.assert_array_equal(run_session(session, feeds)["scores"], before["scores"])


def test_nodes_are_placed_where_they_ran(tmp_path: Path) -> None:
    placed = node_providers(model(), FEEDS)
    assert placed
    assert set(placed.values()) == {CPU}
    assert any("encoder/dense_0" in name for name in placed)
    assert not list(Path.cwd().glob("profile*.json"))


def test_fallback_names_the_nodes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "provider_name", lambda provider: PROVIDERS[provider])
    monkeypatch.setattr(session, "node_providers", lambda *given: {"a": PROVIDERS["cuda"], "b": CPU})
    assert fallback_nodes(model(), FEEDS, "cuda") == ["b"]
    assert fallback_nodes(model(), FEEDS, "cpu") == []


def recurrent(op: Op, dtype: str) -> Graph:
    """One recurrent operator in each of two layers."""
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"{dtype}[5, batch, 4]"))).output
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op.name]
    for path in ("encoder/first", "second"):
        shapes = ((1, 4 * gates, 4), (1, 4 * gates, 4), (1, 8 * gates))
        weights = [weight(graph, np.zeros(shape, as_dtype(dtype).numpy)) for shape in shapes]
        y = graph.add(op, x, *weights, origin=Origin(path, op.name)).outputs[0]
        x = graph.add(Reshape((5, *x.type.shape[1:])), y).output
    graph.add(Output("y"), x)
    return graph


def test_a_missing_kernel_is_said_with_all_layers_that_need_it(tmp_path: Path) -> None:
    graph = recurrent(RNN(4, "forward", (TANH,)), "f64")
    expected = r"no kernel for the operator RNN of float64 \(in encoder/first, second\); use float32"
    with pytest.raises(UnsupportedError, match=expected):
        make_session(to_model_proto(graph).SerializeToString())
    report = export_graph(graph, tmp_path / "m.onnx", external_data="yes")
    with pytest.raises(UnsupportedError, match=expected):
        make_session(report.path)


@pytest.mark.parametrize(
    "op", [GRU(4, "forward", (SIGMOID, TANH), True), LSTM(4, "forward", (SIGMOID, TANH, TANH))], ids=lambda op: op.name
)
def test_a_kernel_that_turns_out_to_be_missing(op: Op, capfd: pytest.CaptureFixture[str]) -> None:
    session = make_session(to_model_proto(recurrent(op, "f64")).SerializeToString())
    with pytest.raises(
        UnsupportedError, match=rf"{op.name} of float64 \(node 'encoder/first/{op.name}'\); use float32"
    ):
        run_session(session, {"x": np.zeros((5, 2, 4))})
    assert capfd.readouterr().err == ""


def test_a_model_of_others_without_metadata() -> None:
    node = onnx.helper.make_node("Atan", ["x"], ["y"])
    types = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [2]) for name in ("x", "y")]
    opset = onnx.helper.make_opsetid("", 21)
    foreign = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", types[:1], types[1:]), opset_imports=[opset], ir_version=10
    )
    with pytest.raises(UnsupportedError, match="no kernel for the operator Atan of float64"):
        make_session(foreign.SerializeToString())


def test_a_missing_kernel_of_an_operator_that_onnxruntime_replaces_by_a_formula() -> None:
    """The Where in the formula of Clip takes no bfloat16 before opset 16."""
    graph = Graph()
    x = graph.add(Input("x", parse_type("bf16[2, 3]"))).output
    bounds = [graph.add(constant(np.asarray(bound, ml_dtypes.bfloat16))).output for bound in (0, 6)]
    graph.add(Output("y"), graph.add(Clip(), x, *bounds, origin=Origin("act", "ReLU6")).output)
    with pytest.raises(UnsupportedError, match=r"no kernel for the operator Clip of bfloat16 \(in act\)"):
        make_session(to_model_proto(graph, opset=15).SerializeToString())


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_an_operator_of_a_newer_opset_than_onnxruntime_knows(dtype: str) -> None:
    """float16 is cast to float32 before numbers are drawn; onnxruntime says it in other words there."""
    graph = Graph()
    x = graph.add(Input("x", parse_type(f"{dtype}[n, 2]"))).output
    graph.add(Output("y"), graph.add(RandomNormalLike(0.0, 1.0, None), x, origin=Origin("noise", "Noise")).output)
    with pytest.raises(UnsupportedError, match=r"RandomNormalLike of opset 22 \(.*noise.*\); write an older opset"):
        make_session(to_model_proto(graph, opset=22).SerializeToString())
