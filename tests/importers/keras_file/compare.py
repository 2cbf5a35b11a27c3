"""Comparison of a model that kir read with the Keras model that wrote the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kir import Model
from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import ExportOptions, export_model
from kir.support.trees import flatten

Array = np.ndarray[Any, Any]

# Relative to the largest number: a few roundings of each precision.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 4e-2}


def make_feeds(reference: Any, batch: int = 3, time: int = 5, seed: int = 1) -> dict[str, Array]:
    """Return random inputs; one step of each sequence is all zero."""
    random = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name, tensor in named_inputs(reference).items():
        shape = [(batch if axis == 0 else time) if size is None else size for axis, size in enumerate(tensor.shape)]
        is_integer = "int" in tensor.dtype
        values = random.integers(0, 3, shape) if is_integer else random.normal(size=shape)
        if len(shape) == 3 and not is_integer:
            values[:, 1] = 0
        feeds[name] = values.astype(tensor.dtype)
    return feeds


def named_inputs(reference: Any) -> dict[str, Any]:
    """Keras's input tensors under the names that the exported file gives them."""
    structure = getattr(reference, "_inputs_struct", None)
    if isinstance(structure, dict):
        return dict(sorted(structure.items()))
    return {tensor._keras_history.operation.name: tensor for tensor in reference.inputs}


def assert_same_numbers(model: Model, reference: Any, path: Path, time: int = 5) -> None:
    """The exported file gives Keras's outputs in onnxruntime."""
    feeds = make_feeds(reference, time=time)
    structure = getattr(reference, "_inputs_struct", None)
    given: Any = feeds if isinstance(structure, dict) else list(feeds.values())
    expected = reference(given if len(feeds) > 1 or isinstance(structure, dict) else given[0], training=False)
    flat = [expected[key] for key in sorted(expected)] if isinstance(expected, dict) else expected
    flat = list(flat) if isinstance(flat, list | tuple) else [flat]
    computed = _run(model, feeds, path, "bfloat16" not in _dtypes(reference))
    states = [name for name in computed if ".new_state_" in name]
    assert list(computed) == model.output_names + states
    worst = min(TOLERANCE, key=lambda name: -TOLERANCE[name] * (name in _dtypes(reference)))
    for name, wanted in zip(model.output_names, flat, strict=True):
        wanted = np.asarray(wanted).astype(np.float64)
        scale = max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
        ours = computed[name].astype(np.float64)
        assert ours.shape == wanted.shape
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[worst] * scale, err_msg=name)


def _run(model: Model, feeds: dict[str, Array], path: Path, has_kernels: bool) -> dict[str, Array]:
    """Return the outputs in onnxruntime, or by the interpreter where onnxruntime has no kernels."""
    export_model(model, path, ExportOptions(verify=False))
    if has_kernels:
        return run_session(make_session(path), {name: feeds[name] for name in model.input_names})
    return dict(zip(model.output_names, flatten(model.predict(feeds)), strict=True))


def _dtypes(reference: Any) -> set[str]:
    return {layer.compute_dtype for layer in reference._flatten_layers()} | {"float64"}
