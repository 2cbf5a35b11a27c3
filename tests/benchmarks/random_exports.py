"""Exports models of random layers, each verified in onnxruntime, and counts what becomes of them.

    python -m tests.benchmarks.random_exports [--count 900] [--start 0] [--seed 0]
        [--threads 1,2] [--levels disabled,basic,extended,all] [--provider cpu]

A fifth of the models computes in float16 (two fifths of those with Keras's policy mixed_float16, whose weights are
float32), some in bfloat16 and float64. Opsets, levels of the passes, sizes and weights are random too. A model of a
seed is always the same one. Each is verified with every number of threads and every level of onnxruntime's own
optimisation that is given; without any, as users do.

Every export runs in a process of its own, so that one that a signal ends is seen as a crash. kir computes twice what
it compares (in its interpreter and in onnxruntime), and both are right unless one of them has a bug; so an export that
does not verify counts as a false alarm until somebody has looked at it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kir import Input, Model, layers
from kir import backend as K
from kir.config import lost_masks
from kir.errors import CrashError, KirError, MismatchError, UnsupportedError
from kir.exporters.onnx_file.session import OPTIMIZATIONS, usual_settings
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.pipeline import ExportOptions, export_reference
from kir.ir.graph import Graph
from kir.modeling.functional import KerasTensor
from kir.modeling.lower import lower
from kir.support.naming import reset_names

# The share of each dtype policy. onnxruntime's CPU provider has next to no kernels for bfloat16, and few for float64.
POLICIES = {
    "float32": 0.74,
    "float16": 0.12,
    "mixed_float16": 0.08,
    "float64": 0.04,
    "bfloat16": 0.01,
    "mixed_bfloat16": 0.01,
}
OPSETS = (None, None, *range(13, 25))
ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hard_silu", "softplus"),
    *("softsign", "softmax", "log_softmax", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh", "hard_tanh"),
    *("tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "sparsemax"),
    *("exponential", "linear"),
)
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
FUNCTIONS: tuple[Callable[[Any], Any], ...] = (
    lambda x: x**2,
    lambda x: x * 0.5 - 1.0,
    lambda x: K.l2_normalize(x, axis=-1),
    lambda x: K.exp(-K.abs(x)),
    lambda x: K.concatenate([K.relu(x), K.relu(-x)], axis=-1),
    lambda x: x - K.mean(x, axis=-1, keepdims=True),
    lambda x: K.where(x > 0, x, 0.1 * x),
    lambda x: x[..., ::-1],
    lambda x: K.cumsum(x, axis=-1),
    lambda x: x / (1 + K.sum(K.square(x), axis=-1, keepdims=True)),
    lambda x: K.sqrt(K.abs(x) + 0.1),
    lambda x: x @ K.ones((x.shape[-1], 3), dtype=x.dtype),
)


@dataclass(frozen=True)
class Result:
    """What became of one export: "passed", "false alarm", "unsupported", "crash" or the class of the error."""

    kind: str
    text: str = ""


@dataclass(frozen=True)
class Runtime:
    """How onnxruntime runs a file: so many threads (None: as it likes), and one of its levels of optimisation."""

    threads: int | None = None
    optimization: str = "all"

    def __str__(self) -> str:
        return f"{self.threads or 'any number of'} threads, optimisation {self.optimization}"


USUAL = (Runtime(),)


@dataclass(frozen=True)
class Case:
    """A random model and how to export it."""

    model: Model
    options: ExportOptions
    policy: str

    def __str__(self) -> str:
        names = " ".join(type(layer).__name__ for layer in self.model.layers)
        return f"{self.policy}, opset {self.options.opset}, -O{self.options.level}: {names}"


def build_case(seed: int, index: int, provider: str = "cpu") -> Case:
    """Return model `index` of a seed, with random weights and options."""
    reset_names()
    rng = random.Random(f"{seed}/{index}")
    policy = rng.choices(tuple(POLICIES), tuple(POLICIES.values()))[0]
    with lost_masks("warn"), warnings.catch_warnings(action="ignore"):
        model = RandomLayers(rng, policy).build()
    generator = np.random.default_rng([seed, index])
    model.set_weights([random_weight(generator, weight) for weight in model.get_weights()])
    options = ExportOptions(
        opset=rng.choice(OPSETS),
        level=rng.choice((0, 1, 2)),
        training=rng.random() < 0.05,
        seed=rng.randrange(1000),
        provider=provider,
    )
    return Case(model, options, policy)


def random_weight(generator: np.random.Generator, weight: Any) -> Any:
    """Return a weight near what training leaves: small kernels, variances and scales near 1."""
    if weight.dtype.kind in "iub" or weight.dtype == object:
        return weight
    if weight.ndim < 2:
        base = np.asarray(weight, np.float64)
        return np.asarray(
            base * generator.uniform(0.5, 1.5, weight.shape) + generator.uniform(0, 0.2, weight.shape)
        ).astype(weight.dtype)
    scale = np.sqrt(2 / max(np.prod(weight.shape[:-1]), 1)) * generator.uniform(0.5, 2)
    return generator.normal(0, scale, weight.shape).astype(weight.dtype)


class RandomLayers:
    """Draws a functional model of one to ten layers."""

    def __init__(self, rng: random.Random, policy: str) -> None:
        self._rng = rng
        self._policy = policy

    def build(self) -> Model:
        x = inputs = self._input()
        for _ in range(self._rng.randint(1, 10)):
            x = self._step(x)
        outputs = [x]
        if self._rng.random() < 0.2:
            outputs.append(self._step(x))
        return Model(inputs, outputs)

    def _input(self) -> KerasTensor:
        rng = self._rng
        kind = rng.choice(("features", "steps", "steps", "steps", "tokens", "image", "image", "volume"))
        steps = rng.choice((None, rng.randint(3, 9)))
        dtype = self._policy.removeprefix("mixed_")
        if kind == "tokens":
            tokens = Input(shape=(steps,), dtype="int32", name="x")
            return self._made(layers.Embedding, rng.randint(3, 30), rng.randint(1, 6), mask_zero=rng.random() < 0.6)(
                tokens
            )
        shape: tuple[int | None, ...] = {
            "features": (rng.randint(1, 12),),
            "steps": (steps, rng.randint(1, 6)),
            "image": (rng.randint(6, 12), rng.randint(6, 12), rng.randint(1, 4)),
            "volume": (rng.randint(4, 6), rng.randint(4, 6), rng.randint(4, 6), rng.randint(1, 2)),
        }[kind]
        x = Input(shape=shape, dtype=dtype, name="x")
        if kind == "steps" and rng.random() < 0.4:
            return self._made(layers.Masking, mask_value=0.0)(x)
        return x

    def _made(self, cls: Any, *args: Any, **kwargs: Any) -> Any:
        return cls(*args, dtype=self._policy, **kwargs)

    def _step(self, x: KerasTensor) -> KerasTensor:
        """One of the steps that can follow; another one where a layer refuses a mask, a size or a dtype."""
        while True:
            try:
                return self._rng.choice(self._applicable(x))(x)
            except KirError:
                continue

    def _applicable(self, x: KerasTensor) -> list[Callable[[KerasTensor], KerasTensor]]:
        """Return the steps that can follow a tensor of this rank and size; more likely ones are listed twice."""
        steps: list[Callable[[KerasTensor], KerasTensor]]
        steps = [self._dense, self._activation, self._normalize, self._regularize, self._traced, self._branch]
        rank, is_static = len(x.shape), None not in x.shape[1:]
        least = min(size or 0 for size in x.shape[1:-1]) if rank > 2 else 0
        if is_static:
            steps += [self._reshape, self._permute]
        if rank == 2:
            steps.append(lambda x: self._made(layers.RepeatVector, self._rng.randint(1, 4))(x))
        if rank == 3:
            steps += [self._recurrent] * 5 + [self._recurrent_stack] * 2 + [self._reduce_steps, self._attend]
            steps += [self._convolve_steps] * 2 if is_static else []
        if rank == 4 and is_static and least >= 4:
            steps += [self._convolve] * 4 + [self._pool] * 2 + [self._reduce_image]
        if rank == 5 and is_static and least >= 3:
            steps += [self._convolve_volume] * 3
        return steps

    def _dense(self, x: KerasTensor) -> KerasTensor:
        rng = self._rng
        activation = rng.choice((None, *ACTIVATIONS))
        return self._made(layers.Dense, rng.randint(1, 8), activation=activation, use_bias=rng.random() < 0.8)(x)

    def _activation(self, x: KerasTensor) -> KerasTensor:
        return self._made(layers.Activation, self._rng.choice(ACTIVATIONS))(x)

    def _normalize(self, x: KerasTensor) -> KerasTensor:
        cls = self._rng.choice(
            (layers.BatchNormalization, layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization)
        )
        return self._made(cls)(x)

    def _regularize(self, x: KerasTensor) -> KerasTensor:
        cls = self._rng.choice((layers.Dropout, layers.GaussianNoise, layers.GaussianDropout))
        return self._made(cls, 0.3)(x)

    def _traced(self, x: KerasTensor) -> KerasTensor:
        return self._made(layers.Lambda, self._rng.choice(FUNCTIONS))(x)

    def _branch(self, x: KerasTensor) -> KerasTensor:
        other = self._step(x)
        if other.shape != x.shape or other.dtype != x.dtype:
            return other if other.shape[:-1] != x.shape[:-1] else self._made(layers.Concatenate)([x, other])
        cls = self._rng.choice((layers.Add, layers.Multiply, layers.Average, layers.Maximum, layers.Subtract))
        return self._made(cls)([x, other])

    def _reshape(self, x: KerasTensor) -> KerasTensor:
        rng = self._rng
        size = int(np.prod([n for n in x.shape[1:] if n is not None]))
        first = rng.choice([n for n in range(1, size + 1) if size % n == 0])
        if rng.random() < 0.5:
            return self._made(layers.Flatten)(x)
        return self._made(layers.Reshape, rng.choice(((first, -1), (-1,), (size // first, first))))(x)

    def _permute(self, x: KerasTensor) -> KerasTensor:
        axes = list(range(1, len(x.shape)))
        self._rng.shuffle(axes)
        return self._made(layers.Permute, tuple(axes))(x)

    # Sequences

    def _recurrent_layer(self, cls: Any, sequences: bool) -> Any:
        rng = self._rng
        inner = self._made(
            cls,
            rng.randint(1, 5),
            return_sequences=sequences,
            go_backwards=rng.random() < 0.2,
            activation=rng.choice(("tanh", "tanh", "relu", "sigmoid", "elu")),
            **({"reset_after": rng.random() < 0.5} if cls is layers.GRU else {}),
        )
        chosen = rng.random()
        if chosen < 0.3:
            return self._made(layers.Bidirectional, inner, merge_mode=rng.choice(("concat", "sum", "mul", "ave")))
        if chosen < 0.35:
            cell = {layers.LSTM: layers.LSTMCell, layers.GRU: layers.GRUCell}.get(cls, layers.SimpleRNNCell)
            return self._made(layers.RNN, self._made(cell, rng.randint(1, 5)), return_sequences=sequences)
        return inner

    def _recurrent(self, x: KerasTensor) -> KerasTensor:
        return self._recurrent_layer(self._rng.choice(RECURRENT), self._rng.random() < 0.6)(x)

    def _recurrent_stack(self, x: KerasTensor) -> KerasTensor:
        for _ in range(self._rng.randint(1, 3)):
            x = self._recurrent_layer(self._rng.choice(RECURRENT), True)(x)
        return self._recurrent(x)

    def _reduce_steps(self, x: KerasTensor) -> KerasTensor:
        return self._made(self._rng.choice((layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)))(x)

    def _attend(self, x: KerasTensor) -> KerasTensor:
        if self._rng.random() < 0.5:
            return self._made(layers.MultiHeadAttention, self._rng.randint(1, 2), self._rng.randint(1, 4))(x, x)
        return self._made(self._rng.choice((layers.Attention, layers.AdditiveAttention)))([x, x])

    def _convolve_steps(self, x: KerasTensor) -> KerasTensor:
        cls = self._rng.choice((layers.Conv1D, layers.Conv1DTranspose, layers.SeparableConv1D))
        return self._made(cls, self._rng.randint(1, 5), self._rng.randint(1, 3), padding="same")(x)

    # Images

    def _convolve(self, x: KerasTensor) -> KerasTensor:
        rng = self._rng
        cls = rng.choice((layers.Conv2D, layers.Conv2D, layers.Conv2DTranspose, layers.SeparableConv2D))
        shape = {"strides": rng.randint(1, 2), "padding": rng.choice(("same", "valid"))}
        if rng.random() < 0.2:
            return self._made(layers.DepthwiseConv2D, rng.randint(1, 3), **shape)(x)
        return self._made(
            cls, rng.randint(1, 6), rng.randint(1, 3), activation=rng.choice((None, *ACTIVATIONS)), **shape
        )(x)

    def _pool(self, x: KerasTensor) -> KerasTensor:
        rng = self._rng
        cls, *args = rng.choice(
            (
                (layers.MaxPooling2D, 2),
                (layers.AveragePooling2D, 2),
                (layers.UpSampling2D, 2),
                (layers.ZeroPadding2D, 1),
                (layers.Cropping2D, 1),
            )
        )
        return self._made(cls, *args)(x)

    def _reduce_image(self, x: KerasTensor) -> KerasTensor:
        return self._made(self._rng.choice((layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)))(x)

    def _convolve_volume(self, x: KerasTensor) -> KerasTensor:
        rng = self._rng
        if rng.random() < 0.5:
            return self._made(layers.Conv3D, rng.randint(1, 4), rng.randint(1, 3), padding="same")(x)
        return self._made(rng.choice((layers.MaxPooling3D, layers.AveragePooling3D)), 2)(x)


# Running them


def export_case(case: Case, runtimes: Sequence[Runtime] = USUAL) -> Result:
    """Export one model in this process, and verify it in each of the runtimes."""
    runtime, written = runtimes[0], None
    with tempfile.TemporaryDirectory() as folder:
        try:
            with lost_masks("warn"), warnings.catch_warnings(action="ignore"):
                reference = lower(case.model, training=case.options.training)
                for runtime in runtimes:
                    written = _verify(reference, written, Path(folder) / "model.onnx", case.options, runtime)
        except MismatchError as error:
            return Result("false alarm", f"{runtime}: {error}")
        except UnsupportedError as error:
            return Result("unsupported", str(error))
        except CrashError as error:
            return Result("crash", f"{runtime}: {error}")
        except KirError as error:
            return Result(type(error).__name__, f"{runtime}: {error}")
        except Exception:
            return Result("bug", f"{runtime}: {traceback.format_exc()}")
    return Result("passed")


def _verify(reference: Graph, written: Graph | None, path: Path, options: ExportOptions, runtime: Runtime) -> Graph:
    """Verify a file in a runtime, after exporting it if it is not written; return the graph that it holds."""
    with usual_settings(runtime.threads, runtime.optimization):
        if written is None:
            return export_reference(reference, path, options).graph
        verify_file(reference, path, options.provider, options.seed, written=written).raise_if_failed()
        return written


def export_apart(seed: int, index: int, runtimes: Sequence[Runtime] = USUAL, provider: str = "cpu") -> Result:
    """Build, export and verify one model in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            result = export_case(build_case(seed, index, provider), runtimes)
        except BaseException:
            result = Result("not built", traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Result("crash", signal.Signals(os.WTERMSIG(status)).name)
    result = pickle.loads(data)
    assert isinstance(result, Result)
    return result


def count_results(
    seed: int,
    indices: range,
    report: Callable[[int, Result], None],
    runtimes: Sequence[Runtime] = USUAL,
    provider: str = "cpu",
) -> Counter[str]:
    """Export one model after the other; `report` is told of each."""
    counts: Counter[str] = Counter()
    for index in indices:
        result = export_apart(seed, index, runtimes, provider)
        counts[result.kind] += 1
        report(index, result)
    return counts


def _report(seed: int, index: int, result: Result) -> None:
    if result.kind != "passed":
        print(f"{index}: {result.kind}: {build_case(seed, index)}\n  {result.text.strip()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=900)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", default="", help="numbers of threads, with commas; by default onnxruntime's own")
    parser.add_argument("--levels", default="all", help=f"levels of optimisation, of {', '.join(OPTIMIZATIONS)}")
    parser.add_argument("--provider", default="cpu")
    arguments = parser.parse_args()
    threads = [int(number) if number else None for number in arguments.threads.split(",")]
    runtimes = [Runtime(number, level) for number in threads for level in arguments.levels.split(",")]
    began = time.perf_counter()
    indices = range(arguments.start, arguments.start + arguments.count)
    seed, provider = arguments.seed, arguments.provider
    counts = count_results(seed, indices, lambda index, result: _report(seed, index, result), runtimes, provider)
    print(f"{arguments.count} exports in {time.perf_counter() - began:.0f} s, seed {arguments.seed}:")
    for kind, count in counts.most_common():
        print(f"  {kind:<14} {count}")
    sys.exit(0 if not counts.keys() - {"passed", "unsupported"} else 1)


if __name__ == "__main__":
    main()
