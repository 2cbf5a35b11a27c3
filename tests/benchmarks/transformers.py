"""Whether kir's files of transformers run as fast as those of the best optimiser, with how many nodes.

Run with `python -m tests.benchmarks.transformers`. A BERT-like, a ViT-like and a GPT-like model of four blocks are
exported by kir as they are (-O0) for the others: onnxslim, onnxruntime.transformers' optimizer for such models, and
onnxruntime's own optimisation, written offline at its basic level. Each file runs in onnxruntime with all
optimisations on one thread; all take turns. Times are the least processor time of a run, and those of kir as a part of
each other one's.

The files of kir are the default's and, in a line of their own, those of opset 23 with its Attention.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import onnxruntime as ort

from kir import Input, Model
from kir import backend as K
from kir.exporters.pipeline import ExportOptions, export_model
from kir.layers import (
    Add,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    LayerNormalization,
    MultiHeadAttention,
    Reshape,
)
from tests.benchmarks.optimiser import count_nodes, make_options

BLOCKS, STEPS, WIDTH, HEADS = 4, 128, 256, 4
TURNS = 100
TOLERANCE = 1e-3

Feeds = dict[str, Any]


def add_block(x: Any, is_first: bool, causal: bool = False) -> Any:
    """Return a block of attention and two Dense; `is_first`: normalized before each, and not behind."""
    attend = MultiHeadAttention(HEADS, WIDTH // HEADS)
    given = LayerNormalization(epsilon=1e-6)(x) if is_first else x
    y = Dropout(0.1)(attend(given, given, use_causal_mask=causal))
    x = Add()([x, y]) if is_first else LayerNormalization(epsilon=1e-6)(Add()([x, y]))
    given = LayerNormalization(epsilon=1e-6)(x) if is_first else x
    y = Dropout(0.1)(Dense(WIDTH)(Dense(4 * WIDTH, activation="gelu")(given)))
    return Add()([x, y]) if is_first else LayerNormalization(epsilon=1e-6)(Add()([x, y]))


def add_blocks(x: Any, is_first: bool, causal: bool = False) -> Any:
    for _ in range(BLOCKS):
        x = add_block(x, is_first, causal)
    return x


def make_bert() -> tuple[Model, Feeds]:
    tokens = Input((STEPS,), dtype="int32", name="tokens")
    x = Embedding(1000, WIDTH)(tokens) + Embedding(STEPS, WIDTH)(K.arange(STEPS))
    y = add_blocks(LayerNormalization(epsilon=1e-6)(x), is_first=False)
    return Model(tokens, Dense(2)(Dense(WIDTH, activation="tanh")(y[:, 0]))), {"tokens": draw_tokens()}


def make_vit() -> tuple[Model, Feeds]:
    image = Input((128, 128, 3), name="image")
    x = Reshape((64, WIDTH))(Conv2D(WIDTH, 16, strides=16)(image)) + Embedding(64, WIDTH)(K.arange(64))
    y = LayerNormalization(epsilon=1e-6)(add_blocks(x, is_first=True))
    pixels = np.random.default_rng(0).normal(size=(1, 128, 128, 3)).astype(np.float32)
    return Model(image, Dense(10)(GlobalAveragePooling1D()(y))), {"image": pixels}


def make_gpt() -> tuple[Model, Feeds]:
    tokens = Input((STEPS,), dtype="int32", name="tokens")
    x = Embedding(1000, WIDTH)(tokens) + Embedding(STEPS, WIDTH)(K.arange(STEPS))
    y = LayerNormalization(epsilon=1e-6)(add_blocks(x, is_first=True, causal=True))
    return Model(tokens, Dense(1000, use_bias=False)(y)), {"tokens": draw_tokens()}


def draw_tokens() -> Any:
    return np.random.default_rng(0).integers(0, 1000, (1, STEPS)).astype(np.int32)


def move_biases(model: Model) -> None:
    """Put numbers in the place of zeros, which trained biases are not, and which optimisers leave out."""
    generator = np.random.default_rng(0)
    model.set_weights([array + generator.normal(size=array.shape, scale=0.02) for array in model.get_weights()])


MODELS = {"bert": make_bert, "vit": make_vit, "gpt2": make_gpt}


# The others


def slim(source: Path, target: Path, kind: str) -> None:
    importlib.import_module("onnxslim").slim(str(source), str(target))


def fuse(source: Path, target: Path, kind: str) -> None:
    optimizer = importlib.import_module("onnxruntime.transformers.optimizer")
    optimizer.optimize_model(str(source), kind, HEADS, WIDTH, opt_level=1).save_model_to_file(str(target))


def optimise_offline(source: Path, target: Path, kind: str) -> None:
    options = make_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


OTHERS: dict[str, Callable[[Path, Path, str], None]] = {
    "onnxslim": slim,
    "transformers": fuse,
    "onnxruntime": optimise_offline,
}


def make_files(model: Model, kind: str, folder: Path) -> dict[str, Path]:
    """Return the files by who wrote them; who cannot is left out."""
    files: dict[str, Path] = {}
    for name, options in (
        ("plain", ExportOptions(verify=False, level=0)),
        ("kir", ExportOptions(verify=False)),
        ("kir, opset 23", ExportOptions(verify=False, opset=23)),
    ):
        files[name] = folder / f"{kind} {name}.onnx"
        export_model(model, files[name], options)
    for name, write in OTHERS.items():
        target = folder / f"{kind} {name}.onnx"
        try:
            with redirect_stdout(io.StringIO()):
                write(files["plain"], target, kind)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            files[name] = target
    return files


def measure(files: dict[str, Path], feeds: Feeds) -> dict[str, float]:
    """Return the seconds of each file; all compute the same."""
    sessions = {
        name: ort.InferenceSession(str(path), make_options(), providers=["CPUExecutionProvider"])
        for name, path in files.items()
    }
    expected = sessions["plain"].run(None, feeds)[0]
    for name, session in sessions.items():
        np.testing.assert_allclose(session.run(None, feeds)[0], expected, TOLERANCE, TOLERANCE, err_msg=name)
    best = dict.fromkeys(files, float("inf"))
    for _ in range(TURNS):
        for name, session in sessions.items():
            begin = time.thread_time()
            session.run(None, feeds)
            best[name] = min(best[name], time.thread_time() - begin)
    return best


def main() -> None:
    print("| model | file | nodes | ms | kir's time |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, make in MODELS.items():
            model, feeds = make()
            move_biases(model)
            files = make_files(model, kind, Path(folder))
            seconds = measure(files, feeds)
            for name, path in files.items():
                nodes = len(onnx.load(path).graph.node) if name == "plain" else count_nodes(path)
                ratio = seconds["kir"] / seconds[name]
                print(f"| {kind} | {name} | {nodes} | {1e3 * seconds[name]:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
