"""How many of the layers in Keras's own tests export, as models that compute what Keras does.

    KERAS_BACKEND=numpy python -m tests.benchmarks.keras_layer_tests CHECKOUT [FILE …] [--verbose]

CHECKOUT is one of https://github.com/keras-team/keras, which need not be installed. Its `*_test.py` of layers are run,
and every outermost call of a layer in them becomes a model of this one call, with inputs of the same shapes and dtypes.
It is exported, run in onnxruntime on what the test fed (or on numbers that are drawn, where that was symbolic) and
compared with Keras. Calls of layers that the tests define themselves are not counted. FILEs are parts of paths that
choose among the tests.

The tests need pytest, absl-py, grain, jax and TensorFlow. With the backend jax there are some more of them, which take
ten times as long.

Prints how many models there are and how many are equal, and the reasons of the others, the most frequent first.
Exits with 1 if less than 95 % are.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOAL = 0.95
# Of the largest number in an output, by the dtype that the layer computes in.
TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}
TOLERANCE = 1e-4
# What layers take that is no input of a model: kir exports inference.
LEFT_OUT = ("training",)


@dataclass
class Harvest:
    """The models that were made of calls, and what became of them."""

    equal: int = 0
    seen: set[str] = field(default_factory=set)
    problems: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.equal + len(self.problems)


class Recorder:
    """A plugin of pytest that makes a model of every outermost call of a layer."""

    def __init__(self, folder: Path) -> None:
        self.harvest = Harvest()
        self._folder = folder
        self._depth = 0
        self._test = ""

    def pytest_runtest_setup(self, item: Any) -> None:
        self._test = item.nodeid

    def pytest_collection_finish(self, session: Any) -> None:
        """Replace `Layer.__call__` by one that also records."""
        import keras

        original = keras.layers.Layer.__call__
        recorder = self
        for name in ("evaluate", "fit", "test_on_batch", "train_on_batch"):
            # Training takes most of the time of the tests, and calls layers as they are called anyway.
            setattr(keras.Model, name, lambda self, *args, **kwargs: None)

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            recorder._depth += 1
            try:
                outputs = original(layer, *args, **kwargs)
            finally:
                recorder._depth -= 1
            if not recorder._depth and recorder._test:
                recorder._record(layer, args, kwargs)
            return outputs

        keras.layers.Layer.__call__ = call

    def _record(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not is_counted(layer):
            return
        self._depth += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._judge(layer, args, kwargs)
        finally:
            self._depth -= 1

    def _judge(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        made = make_model(layer, args, kwargs)
        if made is None:
            return
        model, feeds = made
        key = f"{type(layer).__name__} {described(layer)} {[(x.shape, x.dtype) for x in model.inputs]} {sorted(kwargs)}"
        if key in self.harvest.seen:
            return
        self.harvest.seen.add(key)
        reason = reason_against(model, feeds, str(layer.compute_dtype), self._folder)
        if reason is None:
            self.harvest.equal += 1
        else:
            self.harvest.problems.append((type(layer).__name__, reason, self._test))


def is_counted(layer: Any) -> bool:
    """Return whether a layer, and those inside it, are Keras's own, and no model."""
    import keras

    layers = [layer, *layer._flatten_layers(include_self=False)]
    return not isinstance(layer, keras.Model | keras.layers.InputLayer) and not any(
        type(one).__module__.endswith("_test") or not type(one).__module__.startswith("keras.src") for one in layers
    )


def described(layer: Any) -> str:
    """Return the layer's config without what does not change what it computes: names, and where numbers come from."""
    try:
        config = layer.get_config()
    except Exception:  # Some tests make layers that Keras cannot describe.
        return str(id(layer))
    return re.sub(r"'(name|seed|trainable)': [^,}]*|0x[0-9a-f]+", "", str(config))


def make_model(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]] | None:
    """Return a model of one call of the layer, and what to feed; None where the call holds no tensors, or others."""
    import keras

    inputs: list[Any] = []
    feeds: list[Any] = []

    def as_input(leaf: Any) -> Any:
        symbolic = isinstance(leaf, keras.KerasTensor)
        if not symbolic and (isinstance(leaf, str | bool | int | float) or not hasattr(leaf, "shape")):
            return leaf
        if not symbolic and (keras.ops.is_tensor(leaf) is False and not isinstance(leaf, np.ndarray)):
            raise TypeError("another library's tensor")
        if keras.src.backend.get_keras_mask(leaf) is not None or getattr(leaf, "sparse", False):
            raise TypeError("an input of a model has no mask, and is dense here")
        shape, dtype = tuple(leaf.shape), keras.backend.standardize_dtype(leaf.dtype)
        feeds.append(drawn(shape, dtype) if symbolic else np.array(leaf))
        inputs.append(keras.Input(batch_shape=shape, dtype=dtype))
        return inputs[-1]

    named = {name: value for name, value in kwargs.items() if name not in LEFT_OUT and value is not None}
    try:
        args, named = keras.tree.map_structure(as_input, (args, named))
        return (keras.Model(inputs, layer(*args, **named)), feeds) if inputs else None
    except Exception:  # A call that works on arrays need not work on symbolic tensors: then it is no model of Keras.
        return None


def drawn(shape: tuple[int | None, ...], dtype: str) -> Any:
    rng = np.random.default_rng(0)
    sizes = tuple(3 if size is None else size for size in shape)
    if dtype == "bool" or "int" in dtype:
        return rng.integers(0, 2, sizes).astype(dtype)
    return rng.uniform(0, 1, sizes).astype(np.float32 if dtype == "bfloat16" else dtype)


def reason_against(model: Any, feeds: list[Any], dtype: str, folder: Path) -> str | None:
    """Return why a model does not export with Keras's numbers; None if it does."""
    import keras
    import onnxruntime as ort

    import kir

    path = folder / "model.onnx"
    for layer in model.layers:
        if hasattr(layer, "reset_state"):
            # A file begins with zeros, where the test has left other states.
            layer.reset_state()
    try:
        expected = [np.asarray(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(model(feeds, training=False))]
    except Exception:  # The data is drawn for a test that never runs the layer.
        return None
    try:
        kir.export(model, path, verify=False)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        names = [x._keras_history.operation.name for x in model.inputs]
        results = run(path, options, dict(zip(names, feeds, strict=True)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    for result, wanted in zip(results, expected, strict=True):
        reason = difference(np.asarray(result), wanted, TOLERANCES.get(dtype, TOLERANCE))
        if reason is not None:
            return reason
    return None


def run(path: Path, options: Any, feeds: dict[str, Any]) -> list[Any]:
    """Return the outputs of a file, from kir's interpreter where onnxruntime has no kernel, as for bfloat16."""
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    import kir
    from kir.ir.interpreter import run as interpret

    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except NoKernel:
        graph: Any = kir.load(path)
        return list(interpret(graph, {name: feeds[name] for name in (node.op.label for node in graph.inputs)}).values())
    return list(session.run(None, {one.name: feeds[one.name] for one in session.get_inputs()}))


def difference(result: Any, wanted: Any, tolerance: float) -> str | None:
    if result.shape != wanted.shape:
        return f"other shape: {result.shape} and not {wanted.shape}"
    a, b = result.astype(np.float64), wanted.astype(np.float64)
    if np.array_equal(a, b, equal_nan=True):
        return None
    largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=1e-3))
    if np.array_equal(np.isnan(a), np.isnan(b)) and np.allclose(a, b, tolerance, tolerance * largest, equal_nan=True):
        return None
    return f"other numbers, by {np.nanmax(np.abs(a - b)):.1e} of {largest:.1e}"


def general(reason: str) -> str:
    """Return a reason without what differs between cases of one kind: numbers, names and places."""
    last = [line for line in reason.splitlines() if line.strip()][-1 if "not supported:" in reason else 0]
    return re.sub(r"\d+|'[^']*'|\([^()]*\)", "…", last)[:150]


def report(harvest: Harvest, write: Callable[[str], object], verbose: bool) -> None:
    """Print the figures."""
    share = harvest.equal / max(1, harvest.count)
    write(f"{harvest.equal} of {harvest.count} models ({share:.1%}) compute what Keras does")
    kinds = Counter((name, general(reason)) for name, reason, _ in harvest.problems)
    for (name, reason), count in kinds.most_common():
        write(f"{count:5}  {name}: {reason}")
    for name, reason, test in harvest.problems if verbose else ():
        write(f"\n{test}\n{name}: {reason}")


def test_files(checkout: Path, parts: list[str]) -> Iterator[str]:
    """Yield the tests of layers whose paths have one of the parts; all if there are none."""
    for path in sorted(checkout.glob("keras/src/layers/**/*_test.py")):
        if not parts or any(part in str(path) for part in parts):
            yield str(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("parts", nargs="*", metavar="FILE")
    parser.add_argument("--verbose", action="store_true", help="print every failure with its test")
    arguments = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    checkout = arguments.checkout.resolve()
    sys.path.insert(0, str(checkout))
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            f"--rootdir={checkout}",
            "--tb=no",
            "--no-header",
            "--continue-on-collection-errors",
            "-W",
            "ignore",
        ]
        pytest.main([*options, *test_files(checkout, arguments.parts)], plugins=[recorder])
    report(recorder.harvest, print, arguments.verbose)
    return 0 if recorder.harvest.equal >= GOAL * recorder.harvest.count else 1


if __name__ == "__main__":
    sys.exit(main())
