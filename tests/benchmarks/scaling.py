"""How the time per operator grows with the model: build, lower, optimise, export and load at 1k, 10k and 100k.

Run with `python -m tests.benchmarks.scaling [SIZE …]`. Linear growth shows as a ratio near 1 in the last column:
time per operator against that of the smallest model, in the same run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kir import Input, Model, Sequential, passes
from kir.exporters.onnx_file import export_graph
from kir.exporters.onnx_file.session import make_session
from kir.ir.graph import Graph
from kir.layers import Dense
from kir.support.naming import reset_names


def build_operators(size: int) -> Model:
    """Return a functional model of `size` recorded operators that no pass can merge."""
    x = y = Input(shape=(4,), name="x")
    for index in range(size // 2):
        y = (y + x) * (1.0 + index / size)
    return Model(x, y)


def build_layers(size: int) -> Model:
    """Return a Sequential of `size` Dense layers."""
    return Sequential([Input(shape=(4,)), *[Dense(4, activation="relu") for _ in range(size)]])


def measure(size: int, build: Callable[[int], Model], load: bool) -> dict[str, float]:
    """Seconds for each stage."""
    times: dict[str, float] = {}

    def timed(stage: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        times[stage] = time.perf_counter() - start
        return result

    reset_names()
    model = timed("build", lambda: build(size))
    graph: Graph = timed("lower", model.to_graph)
    timed("optimise", lambda: passes.run(graph, passes.pipeline(2)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        timed("export", lambda: export_graph(graph, path))
        if load:
            timed("load", lambda: make_session(path))
    return times


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000]
    for name, build, limit in (("operators", build_operators, 100_000), ("Dense layers", build_layers, 10_000)):
        smallest: dict[str, float] = {}
        for size in (s for s in sizes if s <= limit):
            times = measure(size, build, load=True)
            smallest = smallest or {stage: seconds / size for stage, seconds in times.items()}
            print(f"{size} {name}, {sum(times.values()):.2f} s")
            for stage, seconds in times.items():
                ratio = seconds / size / smallest[stage]
                print(
                    f"  {stage:<9}{seconds:8.2f} s{1e6 * seconds / size:10.1f} µs each{ratio:8.2f} times the smallest"
                )


if __name__ == "__main__":
    main()
