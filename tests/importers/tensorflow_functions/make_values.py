"""Writes values.tar.xz: what TensorFlow computes for the calls of cases.py, and the models of Keras 2 that record them.

    pip install tf_keras && python tests/importers/tensorflow_functions/make_values.py

test_values.py reads it, without TensorFlow. It holds values.npz, arrays `CASE/I`, and models.json, the config of a
functional model for each case that Keras 2 can record.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
import tf_keras as keras
from cases import CASES, Case  # type: ignore[import-not-found]

tf.get_logger().setLevel("ERROR")

TARGET = Path(__file__).with_name("values.tar.xz")


def main(target: Path) -> None:
    values: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for name, case in CASES.items():
        feeds = case.feeds(name)
        computed = [one.numpy() for one in tf.nest.flatten(case.function(tf, *map(tf.constant, feeds)))]
        values |= {f"{name}/{index}": one for index, one in enumerate(computed)}
        model = recorded(case)
        if model is not None and is_equal(model, feeds, computed):
            models[name] = json.loads(model.to_json())
        else:
            print(f"Keras 2 does not record {name}", file=sys.stderr)
    content = io.BytesIO()
    np.savez(content, **values)
    with lzma.open(target, "wb", preset=9) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for member, data in (("values.npz", content.getvalue()), ("models.json", json.dumps(models).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def recorded(case: Case) -> Any:
    """Return a functional model of a case; None where Keras 2 cannot record it."""
    keras.backend.clear_session()
    inputs = [keras.Input(given.declared, dtype=given.dtype) for given in case.given]
    try:
        outputs = tf.nest.flatten(case.function(tf, *inputs))
        if any(not keras.backend.is_keras_tensor(one) for one in outputs):
            return None
        return keras.Model(inputs, outputs)
    except (TypeError, ValueError, AttributeError, KeyError, tf.errors.InvalidArgumentError) as error:
        print(f"  {type(error).__name__}: {str(error)[:150]}", file=sys.stderr)
        return None


def is_equal(model: Any, feeds: list[Any], wanted: list[Any]) -> bool:
    got = [one.numpy() for one in tf.nest.flatten(model([tf.constant(feed) for feed in feeds]))]
    pairs = list(zip(got, wanted, strict=True))
    return all(a.dtype == b.dtype and a.shape == b.shape and np.allclose(a, b, 1e-4, 1e-5) for a, b in pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
