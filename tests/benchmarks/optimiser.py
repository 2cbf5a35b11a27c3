"""What `kir export in.onnx -o out.onnx` leaves of ONNX files, against other optimisers: nodes, seconds, right or wrong.

Run with `python -m tests.benchmarks.optimiser [speed] [NODES …]`; NODES are the sizes of the generated graphs, by
default 1,000, 10,000 and 100,000. The others are onnxslim, onnxsim, onnxscript's optimizer and onnxruntime's offline
optimisation at its basic level (the next one writes operators that only onnxruntime has). Those that are not installed
are left out, and so is one behind the first file that it takes longer than a minute for.

With `speed`, each optimiser runs as a program of its own on three shapes of 10,000 and 100,000 nodes: seconds, as
ratios to those of kir, and memory.

Every optimiser reads a file and writes one; the processor time of that is taken, without kir's verification. What
they wrote runs in onnxruntime, unoptimised, beside the file that they read.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

from kir.exporters.onnx_file import export_graph
from kir.exporters.pipeline import ExportOptions, export_reference
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.types import BATCH
from kir.numerics.feeds import random_feeds
from kir.numerics.inputs import input_symbols

MODELS = Path(__file__).parents[2] / "models"
SIZES = (1_000, 10_000, 100_000)
OPEN_SIZE = 5  # of every axis that a model leaves open
TOLERANCE = 1e-4
SLOW = 1.0  # seconds, from which on being slower counts
TOO_SLOW = 60.0  # seconds
ROUNDS = 3
SOURCE, TARGET = "SOURCE.onnx", "TARGET.onnx"  # in commands


# The optimisers: from file to file


def optimise_with_kir(source: Path, target: Path) -> None:
    export_reference(import_graph(source), target, ExportOptions(verify=False))


def optimise_with_onnxslim(source: Path, target: Path) -> None:
    import onnxslim

    onnxslim.slim(str(source), str(target))


def optimise_with_onnxsim(source: Path, target: Path) -> None:
    import onnxsim

    model, _ = onnxsim.simplify(onnx.load(source))
    onnx.save(model, target)


def optimise_with_onnxscript(source: Path, target: Path) -> None:
    import onnxscript.optimizer

    onnx.save(onnxscript.optimizer.optimize(onnx.load(source)), target)


def optimise_with_onnxruntime(source: Path, target: Path) -> None:
    options = make_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


OPTIMISERS: dict[str, Callable[[Path, Path], None]] = {
    "kir": optimise_with_kir,
    "onnxslim": optimise_with_onnxslim,
    "onnxsim": optimise_with_onnxsim,
    "onnxscript": optimise_with_onnxscript,
    "onnxruntime": optimise_with_onnxruntime,
}


# Files: the models as other exporters would write them


class Writer:
    """Appends nodes to an ONNX graph from `x` [batch, width] to `y`; a method returns the name of what it computes."""

    def __init__(self, width: int = 16) -> None:
        self.width = width
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.generator = np.random.default_rng(0)

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Return a Constant node."""
        return self.node("Constant", value=numpy_helper.from_array(np.asarray(value)))

    def number(self, value: float) -> str:
        """Return an initializer of one number."""
        name = f"number_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def weight(self, *shape: int) -> str:
        """Return an initializer of random numbers."""
        name = f"weight_{len(self.initializers)}"
        array = self.generator.normal(size=shape, scale=0.3).astype(np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def dense(self, x: str, units: int | None = None, features: int | None = None) -> str:
        """MatMul, Add and Relu."""
        units, features = units or self.width, features or self.width
        return self.node(
            "Relu", self.node("Add", self.node("MatMul", x, self.weight(features, units)), self.weight(units))
        )

    def model(self, y: str) -> ModelProto:
        self.nodes.append(helper.make_node("Identity", [y], ["y"], "last"))
        x_type = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", self.width])
        y_type = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])
        graph = helper.make_graph(self.nodes, "graph", [x_type], [y_type], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def reshape_chains() -> ModelProto:
    """View after view, the shape of each computed from that of its input, as torch's older exporter writes it."""
    w = Writer()
    x = "x"
    for _ in range(4):
        batch = w.node("Gather", w.node("Shape", x), w.constant(np.int64(0)), axis=0)
        parts = [
            w.node("Unsqueeze", batch, w.constant(np.array([0]))),
            w.constant(np.array([4])),
            w.constant(np.array([-1])),
        ]
        x = w.node("Reshape", x, w.node("Concat", *parts, axis=0))
        batch = w.node("Gather", w.node("Shape", x), w.constant(np.int64(0)), axis=0)
        parts = [w.node("Unsqueeze", batch, w.constant(np.array([0]))), w.constant(np.array([-1]))]
        x = w.dense(w.node("Reshape", x, w.node("Concat", *parts, axis=0)))
    return w.model(x)


def dense_blocks() -> ModelProto:
    """MatMul, Add and Relu, with a Dropout that does nothing and an Identity behind each."""
    w = Writer()
    x = "x"
    for _ in range(10):
        x = w.node("Identity", w.node("Dropout", w.dense(x)))
    return w.model(x)


def transposes() -> ModelProto:
    """To channels last and back around everything that is computed, as converters between layouts do."""
    w = Writer()
    x = w.node("Reshape", "x", w.constant(np.array([-1, 2, 2, 4])))
    for op_type in ("Relu", "Sigmoid", "Tanh", "Abs"):
        last = w.node("Transpose", x, perm=[0, 2, 3, 1])
        x = w.node("Transpose", w.node(op_type, last), perm=[0, 3, 1, 2])
        x = w.node("Transpose", w.node("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 1, 2, 3])
        x = w.node("Transpose", x, perm=[0, 3, 1, 2])
    return w.model(w.node("Flatten", x))


def identities() -> ModelProto:
    """Identities, casts to what is there already, additions of nothing, and nodes that nobody reads."""
    w = Writer()
    x = "x"
    for _ in range(5):
        x = w.node("Identity", w.node("Identity", w.node("Tanh", x)))
        x = w.node("Mul", w.node("Cast", x, to=TensorProto.FLOAT), w.constant(np.float32(1)))
        w.node("Exp", w.node("Neg", x))
    return w.model(x)


def duplicates() -> ModelProto:
    """Return the same three layers on the same input, four times over, added up."""
    w = Writer()
    kernels = [(w.weight(16, 16), w.weight(16)) for _ in range(3)]
    total = "x"
    for _ in range(4):
        y = "x"
        for kernel, bias in kernels:
            y = w.node("Relu", w.node("Add", w.node("MatMul", y, kernel), bias))
        total = w.node("Add", total, y)
    return w.model(total)


def constants() -> ModelProto:
    """Scales and masks computed from constants, a ConstantOfShape and a Range among them."""
    w = Writer()
    x = "x"
    for index in range(4):
        scale = w.node("Sqrt", w.node("Add", w.constant(np.float32(index)), w.constant(np.float32(2))))
        ones = w.node(
            "ConstantOfShape", w.constant(np.array([16])), value=numpy_helper.from_array(np.ones(1, np.float32))
        )
        steps = w.node("Range", *[w.constant(np.int64(number)) for number in (0, 16, 1)])
        mask = w.node("Cast", w.node("Less", steps, w.constant(np.int64(8 + index))), to=TensorProto.FLOAT)
        x = w.node("Mul", w.dense(x), w.node("Mul", w.node("Mul", ones, scale), mask))
    return w.model(x)


def normalised() -> ModelProto:
    """Layer normalisation in single operators, between Dense layers with biases in front of them."""
    w = Writer()
    x = "x"
    for _ in range(3):
        x = w.node("Add", w.node("MatMul", x, w.weight(16, 16)), w.weight(16))
        centred = w.node("Sub", x, w.node("ReduceMean", x, axes=[-1]))
        variance = w.node("ReduceMean", w.node("Pow", centred, w.constant(np.float32(2))), axes=[-1])
        deviation = w.node("Sqrt", w.node("Add", variance, w.constant(np.float32(1e-5))))
        x = w.node("Add", w.node("Mul", w.node("Div", centred, deviation), w.weight(16)), w.weight(16))
    return w.model(x)


HANDMADE = (reshape_chains, dense_blocks, transposes, identities, duplicates, constants, normalised)


# Files: as large as one likes


def elementwise_chain(size: int) -> ModelProto:
    """One elementwise operator behind the other; nothing can go."""
    w = Writer()
    x = "x"
    for index in range(size // 4):
        x = w.node("Tanh", w.node("Mul", w.node("Add", w.node("Sin", x), "x"), w.number(1 + index / size)))
    return w.model(x)


def noisy_dense(size: int) -> ModelProto:
    """Dense layers of 4 with an Identity, a multiplication by a computed 1 and an unread node for each."""
    w = Writer(4)
    x = "x"
    for _ in range(size // 8):
        one = w.node("Sub", w.constant(np.float32(3)), w.constant(np.float32(2)))
        x = w.node("Mul", w.node("Identity", w.dense(x)), one)
    return w.model(x)


def wide_duplicates(size: int) -> ModelProto:
    """Branches from one input, every other one twice, added up pairwise."""
    w = Writer(4)
    branches = []
    for index in range(size // 8):
        scale = w.number(1 + index / size)
        for _ in range(2):
            branches.append(w.node("Tanh", w.node("Mul", w.node("Sin", "x"), scale)))
    return w.model(_added(branches, w))


def _added(values: list[str], w: Writer) -> str:
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        rest = values[-1:] if len(values) % 2 else []
        values = [w.node("Add", a, b) for a, b in pairs] + rest
    return values[0]


def dense_chain(size: int) -> ModelProto:
    """Dense layers of 4 in a row, each a MatMul, an Add and a Relu."""
    w = Writer(4)
    x = "x"
    for _ in range(size // 3):
        x = w.dense(x)
    return w.model(x)


def branches(size: int) -> ModelProto:
    """Branches of three operators from one input, all different, added up pairwise."""
    w = Writer(4)
    count = size // 4
    return w.model(
        _added([w.node("Tanh", w.node("Mul", w.node("Sin", "x"), w.number(1 + i / count))) for i in range(count)], w)
    )


GENERATED = (elementwise_chain, noisy_dense, wide_duplicates)
SHAPES = (elementwise_chain, dense_chain, branches)


def write_files(folder: Path, sizes: tuple[int, ...]) -> Iterator[Path]:
    """Yield every file, written when its turn comes."""
    for script in sorted(MODELS.glob("*.py")):
        path = folder / f"{script.stem}.onnx"
        export_graph(load_script(script).to_graph(), path, opset=17)
        yield path
    for make in HANDMADE:
        path = folder / f"{make.__name__}.onnx"
        onnx.save(make(), path)
        yield path
    for size in sizes:
        for generate in GENERATED:
            path = folder / f"{generate.__name__}_{size}.onnx"
            onnx.save(generate(size), path)
            yield path


# Running


@dataclass(frozen=True)
class Outcome:
    """What an optimiser made of a file: `nodes` without Constants, `verdict` on what it computes."""

    nodes: int
    seconds: float
    verdict: str


def count_nodes(path: Path) -> int:
    return sum(node.op_type != "Constant" for node in onnx.load(path).graph.node)


def make_options() -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def make_feeds(path: Path) -> dict[str, Any]:
    """Return random inputs, every open size the same."""
    graph = import_graph(path)
    return random_feeds(graph, 0, dict.fromkeys(input_symbols(graph), OPEN_SIZE) | {str(BATCH): OPEN_SIZE})


def run(path: Path, feeds: dict[str, Any]) -> list[Any]:
    """What onnxruntime computes without optimising."""
    options = make_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    results: list[Any] = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds)
    return results


def optimise(
    function: Callable[[Path, Path], None], source: Path, feeds: dict[str, Any], expected: list[Any]
) -> Outcome:
    target = source.with_suffix(".small.onnx")
    target.unlink(missing_ok=True)
    begin = time.process_time()
    try:
        with redirect_stdout(io.StringIO()):
            function(source, target)
    except Exception as error:
        return Outcome(0, time.process_time() - begin, f"fails: {type(error).__name__}")
    seconds = time.process_time() - begin
    try:
        results = run(target, feeds)
    except Exception as error:
        return Outcome(count_nodes(target), seconds, f"does not run: {type(error).__name__}")
    pairs = zip(results, expected, strict=True)
    equal = all(a.shape == b.shape and np.allclose(a, b, TOLERANCE, TOLERANCE) for a, b in pairs)
    return Outcome(count_nodes(target), seconds, "equal" if equal else "other numbers")


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


# Speed: each optimiser as a program of its own, start-up and all

COMMANDS = {
    "kir": ["-m", "kir", "export", SOURCE, "-o", TARGET, "--no-verify"],
    "onnxslim": ["-c", f"import onnxslim; onnxslim.slim({SOURCE!r}, {TARGET!r})"],
    "onnxsim": ["-c", f"import onnx, onnxsim; onnx.save(onnxsim.simplify(onnx.load({SOURCE!r}))[0], {TARGET!r})"],
    "onnxruntime": [
        "-c",
        "import onnxruntime as ort; options = ort.SessionOptions(); options.log_severity_level = 4; "
        "options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC; "
        f"options.intra_op_num_threads = 1; options.optimized_model_filepath = {TARGET!r}; "
        f"ort.InferenceSession({SOURCE!r}, options, providers=['CPUExecutionProvider'])",
    ],
}


@dataclass(frozen=True)
class Cost:
    """What a program took: seconds by the clock, seconds of processors, and the most memory at once."""

    seconds: float
    processor_seconds: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.seconds:8.2f} s{self.processor_seconds:8.2f} s of processors{self.megabytes:8.0f} MB"


def measure_program(name: str, source: Path) -> Cost | None:
    """Run an optimiser as a program; None if it takes longer than `TOO_SLOW` or fails."""
    texts = {SOURCE: str(source), TARGET: str(source.with_suffix(".small.onnx"))}
    command = [re.sub("|".join(texts), lambda found: texts[found[0]], word) for word in COMMANDS[name]]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_limit_time
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return None
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _limit_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(TOO_SLOW), int(TOO_SLOW)))


def compare_speed(sizes: tuple[int, ...]) -> None:
    """Print what each optimiser takes for the three shapes, as ratios to kir's.

    The runs take turns, so that what else the machine does meets all alike; of each program the one with the least
    processor time counts. All have one thread, so that on an idle machine that is the time by the clock.
    """
    names = [name for name in COMMANDS if is_installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for generate in SHAPES:
                source = Path(folder) / f"{generate.__name__}_{size}.onnx"
                onnx.save(generate(size), source)
                print(f"{source.stem}, {count_nodes(source)} nodes")
                rounds = [{name: measure_program(name, source) for name in names} for _ in range(ROUNDS)]
                ours = _shortest("kir", rounds)
                for name in names:
                    _print_cost(name, _shortest(name, rounds), ours)


def _shortest(name: str, rounds: list[dict[str, Cost | None]]) -> Cost | None:
    costs = [cost for found in rounds if (cost := found[name]) is not None]
    return min(costs, key=lambda cost: cost.processor_seconds, default=None)


def _print_cost(name: str, cost: Cost | None, ours: Cost | None) -> None:
    ratio = (
        "" if cost is None or ours is None else f"{cost.processor_seconds / ours.processor_seconds:8.2f} times kir's"
    )
    shown = f"fails, or takes more than {TOO_SLOW:.0f} s" if cost is None else str(cost)
    print(f"  {name:<12}{shown}{ratio}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["speed"]:
        compare_speed(tuple(int(text) for text in sys.argv[2:]) or SIZES[1:])
        return
    sizes = tuple(int(text) for text in sys.argv[1:]) or SIZES
    chosen = {name: function for name, function in OPTIMISERS.items() if is_installed(name)}
    for name in OPTIMISERS.keys() - chosen:
        print(f"{name} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for source in write_files(Path(folder), sizes):
            feeds = make_feeds(source)
            expected = run(source, feeds)
            print(f"{source.stem}, {count_nodes(source)} nodes")
            outcomes: dict[str, Outcome] = {}
            for name, function in list(chosen.items()):
                outcome = outcomes[name] = optimise(function, source, feeds, expected)
                print(f"  {name:<12}{outcome.nodes:>7} nodes{outcome.seconds:>9.3f} s  {outcome.verdict}", flush=True)
                if outcome.seconds > TOO_SLOW and name != "kir":
                    del chosen[name]
                    print(f"  {name} is left out from here on")
            print_lost(outcomes)


def print_lost(outcomes: Mapping[str, Outcome]) -> None:
    """Where kir is not the best: what is right counts, and seconds of large files only."""
    ours = outcomes["kir"]
    others = [outcome for name, outcome in outcomes.items() if name != "kir" and outcome.verdict == "equal"]
    if ours.verdict != "equal":
        print(f"  LOST: kir {ours.verdict}")
    if any(other.nodes < ours.nodes for other in others):
        print("  LOST: more nodes")
    if any(other.seconds < ours.seconds for other in others) and ours.seconds > SLOW:
        print("  LOST: slower")


if __name__ == "__main__":
    main()
