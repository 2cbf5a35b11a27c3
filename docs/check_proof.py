"""Checks a file with its proof: python check_proof.py model.onnx model.proof.npz [CUDAExecutionProvider]

It needs NumPy and onnxruntime alone. Exit code 0: everything is right; 1: something is wrong; 2: it was not checked.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort


def main(model, proof, provider="CPUExecutionProvider"):
    model, arrays = Path(model), np.load(proof, allow_pickle=False)
    document = json.loads(arrays["json"].tobytes())
    beside = [(model.resolve().with_name(Path(one["name"]).name), one) for one in document["data"]]
    for file, recorded in [(model, document["file"]), *beside]:
        if hashlib.sha256(file.read_bytes()).hexdigest() != recorded["sha256"]:
            sys.exit(f"WRONG: {file} is not the file that the proof was written of")
    session = ort.InferenceSession(str(model), providers=[(provider, {"use_tf32": "0"} if "CUDA" in provider else {})])
    if provider not in session.get_providers():  # onnxruntime took the CPU instead
        raise ValueError(f"{provider} cannot be used; there are {ort.get_available_providers()}")
    wrong, outputs = 0, [one["name"] for one in document["outputs"]]
    for probe in range(document["probes"]):
        keys = {f"{probe}.input.{index}": one["name"] for index, one in enumerate(document["inputs"])}
        feeds = {name: arrays[key] for key, name in keys.items() if key in arrays}
        for index, found in enumerate(session.run(outputs, feeds)):
            also = [arrays[key] for key in arrays if key.startswith(f"{probe}.also.{index}.")]
            is_right = right(found, arrays[f"{probe}.expected.{index}"], arrays[f"{probe}.allowed.{index}"], also)
            wrong += int((~is_right).sum())
            print(f"probe {probe}, {outputs[index]}: {int(is_right.sum())} of {is_right.size} elements are right")
    sys.exit(1 if wrong else 0)


def right(found, expected, allowed, also):
    """Return which elements are near enough, the same as expected, or the same as in another right result."""
    is_right = np.isinf(allowed)
    for one in [expected, *also] if found.shape == expected.shape else []:
        is_right |= (found == one) | ((found != found) & (one != one))  # NaN is not equal to itself
        is_right |= (np.abs(found - expected) <= allowed) if expected.dtype.kind == "f" else False
    return is_right


try:
    main(*sys.argv[1:])
except Exception as error:
    print(f"NOT CHECKED: {error!r}\n{__doc__}", file=sys.stderr)
    sys.exit(2)
