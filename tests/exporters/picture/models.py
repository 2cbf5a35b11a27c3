"""Models and graphs to draw."""

from typing import Any

import networkx as nx
from hypothesis import strategies as st

from kir import Input, Model
from kir.ir import structural
from kir.ir.body import Body
from kir.ir.graph import Graph, Origin
from kir.ir.types import parse_type
from kir.layers import Add, Concatenate, Dense, Dropout
from kir.ops import elementwise
from kir.ops.control import If, Loop

HOSTILE = "</script><script>alert('1')</script>&\"\\ ]]> \x00 #quot; `x` %%"


def residual(blocks: int, name: str = "residual") -> Model:
    """Blocks of three layers around which the input is added: 4 * blocks + 2 boxes and an output."""
    x = inputs = Input(shape=(8,), name="x")
    for block in range(blocks):
        y = Dense(8, activation="relu", name=f"first_{block}")(x)
        y = Dense(8, name=f"second_{block}")(Dropout(0.1, name=f"drop_{block}")(y))
        x = Add(name=f"add_{block}")([x, y])
    return Model(inputs, Dense(3, activation="softmax", name="classes")(x), name=name)


def nested() -> Model:
    """Return a model that holds another one twice, which holds a third."""
    a = Input(shape=(4,), name="a")
    core = Model(a, Dense(4, name="inner_dense")(a), name="core")
    b = Input(shape=(4,), name="b")
    wrapped = Model(b, Dense(4, name="middle_dense")(core(b)), name="wrapped")
    c = Input(shape=(4,), name="c")
    return Model(c, Concatenate(name="both")([wrapped(c), wrapped(wrapped(c))]), name="outer")


def hostile_model() -> Model:
    """Return a model all of whose names are markup."""
    inputs = Input(shape=(4,), name="x")
    return Model(inputs, Dense(2, name=HOSTILE)(inputs), name=HOSTILE + "2")


def hostile_graph() -> Graph:
    graph = Graph(HOSTILE)
    x = graph.add(structural.Input(HOSTILE, parse_type("f32[batch, 4]"))).output
    graph.add(structural.Output(HOSTILE), graph.add(elementwise.Relu(), x).output)
    return graph


@st.composite
def arc_lists(draw: st.DrawFn, max_vertices: int = 40) -> tuple[int, list[tuple[int, int, int]]]:
    """Return a number of vertices and arcs (source, target, port) from lower to higher numbers."""
    count = draw(st.integers(1, max_vertices))
    if count == 1:
        return 1, []
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.integers(0, 2))
    drawn = draw(st.lists(pairs.filter(lambda arc: arc[0] < arc[1]), max_size=3 * count, unique=True))
    return count, drawn


def longest_path(count: int, arcs: list[tuple[int, int, int]]) -> int:
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((source, target) for source, target, _ in arcs)
    return int(nx.dag_longest_path_length(graph))


def controlled(repeats: int = 2) -> Graph:
    """Return a graph with a Loop, in whose body are an If and a Relu."""
    branches = []
    for op in (elementwise.Neg(), elementwise.Abs()):
        branch = Graph(op.name)
        x = branch.add(structural.Input("x", parse_type("f32[3]"))).output
        branch.add(structural.Output("y"), branch.add(op, x).output)
        branches.append(Body(branch))
    body = Graph("body")
    body.add(structural.Input("step", parse_type("i64[]")))
    goes_on = body.add(structural.Input("goes_on", parse_type("bool[]"))).output
    x = body.add(structural.Input("x", parse_type("f32[3]"))).output
    chosen = body.add(If((parse_type("f32[3]"),), *branches), goes_on, x).output
    body.add(structural.Output("again"), goes_on)
    body.add(structural.Output("y"), body.add(elementwise.Relu(), chosen).output)
    graph = Graph("controlled")
    trips = graph.add(structural.constant(repeats)).output
    given = graph.add(structural.Input("given", parse_type("f32[3]"))).output
    loop = graph.add(
        Loop((parse_type("f32[3]"),), Body(body), 1), trips, None, given, origin=Origin("repeat", "Repeat")
    )
    graph.add(structural.Output("result"), graph.add(elementwise.Exp(), loop.output).output)
    return graph
