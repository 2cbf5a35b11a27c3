"""The text of graphs, compared in full."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest

from kir.ir.graph import Graph, Origin, print_graph
from kir.ir.structural import Data, Input, Output, constant
from kir.ir.types import parse_type
from kir.ops.elementwise import Add, Clip, Relu
from kir.ops.linear import Dense
from kir.ops.recurrent import LSTM, SIGMOID, TANH
from kir.ops.shape import Concat, Reshape, Slice, Split


def text(block: str) -> str:
    return dedent(block).strip()


def test_a_dense_with_its_activation() -> None:
    graph = Graph("mlp")
    x = graph.add(Input("x", parse_type("f32[batch, 3]"))).output
    kernel = graph.add(constant(np.zeros((3, 4), np.float32), "dense/kernel")).output
    bias = graph.add(constant(np.array([1, 2, 3, 4], np.float32), "dense/bias")).output
    y = graph.add(Dense(Relu()), x, kernel, bias, origin=Origin("dense", "Dense")).output
    graph.add(Output("y"), y)
    assert str(graph) == text("""
        graph mlp
        symbols batch
        %0: f32[batch, 3] = Input(label='x')
        %1: f32[3, 4] = Constant(label='dense/kernel')
        %2: f32[4] = Constant([1.0, 2.0, 3.0, 4.0], label='dense/bias')
        %3: f32[batch, 4] = Dense(activation=Relu)(x=%0, kernel=%1, bias=%2)  # dense (Dense)
        %4: f32[batch, 4] = Output(label='y')(value=%3)
    """)


def test_several_outputs_variadic_inputs_and_metadata() -> None:
    graph = Graph("parts")
    graph.metadata = {"source": "model.py", "author": "a\nb"}
    x = graph.add(Input("x", parse_type("i64[n, 2*length + 1]"))).output
    first, second = graph.add(Split(1, (1, x.type.shape[1] - 1)), x).outputs
    graph.add(Output("y"), graph.add(Concat(1), second, first).output)
    assert print_graph(graph) == text(r"""
        graph parts
        metadata 'author': 'a\nb'
        metadata 'source': 'model.py'
        symbols length, n
        %0: i64[n, 2*length + 1] = Input(label='x')
        %1: i64[n, 1], %2: i64[n, 2*length] = Split(axis=1, sizes=(1, 2*length))(x=%0)
        %3: i64[n, 2*length + 1] = Concat(axis=1)(%2, %1)
        %4: i64[n, 2*length + 1] = Output(label='y')(value=%3)
    """)


def test_absent_inputs_are_left_out() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[]"), Data(np.array(2, np.float32)))).output
    top = graph.add(constant(np.array(6, np.float32))).output
    graph.add(Output("y"), graph.add(Clip(), x, None, top).output)
    assert print_graph(graph) == text("""
        graph graph
        %0: f32[] = Input(label='x', default=2.0)
        %1: f32[] = Constant(6.0)
        %2: f32[] = Clip(x=%0, maximum=%1)
        %3: f32[] = Output(label='y')(value=%2)
    """)


def test_large_and_textual_constants() -> None:
    graph = Graph()
    graph.add(Output("large"), graph.add(constant(np.zeros(9))).output)
    graph.add(Output("text"), graph.add(constant(np.array(["a", "b"]))).output)
    graph.add(Input("unread", parse_type("f64[9]"), Data(np.zeros(9))))
    assert print_graph(graph) == text("""
        graph graph
        %0: f64[9] = Input(label='unread', default=…)
        %1: f64[9] = Constant()
        %2: f64[9] = Output(label='large')(value=%1)
        %3: str[2] = Constant(['a', 'b'])
        %4: str[2] = Output(label='text')(value=%3)
    """)


def test_attributes_that_are_tuples() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[length, batch, 3]"))).output
    weights = [
        graph.add(Input(name, parse_type(f"f32[1, {sizes}]"))).output
        for name, sizes in (("w", "16, 3"), ("r", "16, 4"), ("b", "32"))
    ]
    y = graph.add(LSTM(4, "forward", (SIGMOID, TANH, TANH)), x, *weights).outputs[1]
    _, batch, _ = x.type.shape
    last = graph.add(Reshape((batch, 4)), y).output
    graph.add(Output("y"), graph.add(Slice((1,), (0,), (2,), (1,)), last).output)
    lines = print_graph(graph).splitlines()
    assert lines[-4] == (
        "%4: f32[length, 1, batch, 4], %5: f32[1, batch, 4], %6: f32[1, batch, 4] = "
        "LSTM(units=4, direction='forward', "
        "activations=(('Sigmoid', 0.0, 0.0), ('Tanh', 0.0, 0.0), ('Tanh', 0.0, 0.0)))"
        "(x=%0, kernel=%1, recurrent_kernel=%2, bias=%3)"
    )
    assert lines[-2] == "%8: f32[batch, 2] = Slice(axes=(1,), starts=(0,), ends=(2,), steps=(1,))(x=%7)"


def test_dead_nodes_are_not_shown_and_shared_ones_once() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    graph.add(Relu(), x)
    twice = graph.add(Relu(), x).output
    graph.add(Output("y"), graph.add(Add(), twice, twice).output)
    assert print_graph(graph).splitlines()[1:] == [
        "%0: f32[2] = Input(label='x')",
        "%1: f32[2] = Relu(x=%0)",
        "%2: f32[2] = Add(a=%1, b=%1)",
        "%3: f32[2] = Output(label='y')(value=%2)",
    ]


@pytest.mark.slow
def test_a_long_chain_is_printed() -> None:
    graph = Graph()
    value = graph.add(Input("x", parse_type("f32[2]"))).output
    for _ in range(20_000):
        value = graph.add(Relu(), value).output
    graph.add(Output("y"), value)
    assert print_graph(graph).splitlines()[-2] == "%20000: f32[2] = Relu(x=%19999)"
