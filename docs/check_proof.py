"""Checks a file with its proof: python check_proof.py model.onnx model.proof.npz [CUDAExecutionProvider]

It needs NumPy and onnxruntime alone; proof.md explains the format. Exit code 0 if everything is right, 1 if not.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(model, proof, provider="CPUExecutionProvider"):
    model, arrays = Path(model), np.load(proof, allow_pickle=False)
    document = json.loads(arrays["json"].tobytes())
    beside = [(model.resolve().with_name(Path(one["name"]).name), one) for one in document["data"]]
    for file, recorded in [(model, document["file"]), *beside]:
        if hashlib.sha256(file.read_bytes()).hexdigest() != recorded["sha256"]:
            sys.exit(f"WRONG {file} is not the file that the proof was written of")
    if provider not in (known := onnxruntime.get_available_providers()):
        sys.exit(f"NOT CHECKED, there is no {provider}; onnxruntime has {', '.join(known)}")
    options = {"use_tf32": "0"} if provider.startswith("CUDA") else {}
    session = onnxruntime.InferenceSession(str(model), providers=[(provider, options)])
    wrong = 0
    for probe in range(document["probes"]):
        keys = {f"{probe}.input.{index}": one["name"] for index, one in enumerate(document["inputs"])}
        feeds = {name: arrays[key] for key, name in keys.items() if key in arrays}
        for index, output in enumerate(document["outputs"]):
            (found,) = session.run([output["name"]], feeds)
            also = [arrays[key] for key in arrays if key.startswith(f"{probe}.also.{index}.")]
            is_right = right(found, arrays[f"{probe}.expected.{index}"], arrays[f"{probe}.allowed.{index}"], also)
            wrong += int((~is_right).sum())
            print(f"probe {probe}, {output['name']}: {int(is_right.sum())} of {is_right.size} elements are right")
    sys.exit(1 if wrong else 0)


def right(found, expected, allowed, also):
    """Return which elements are near enough, the same as expected, or the same as in another right result."""
    is_right = np.isinf(allowed)
    for one in [expected, *also] if found.shape == expected.shape else []:
        is_right |= (found == one) | ((found != found) & (one != one))  # NaN is not equal to itself
        if expected.dtype.kind == "f":
            is_right |= np.abs(found - expected) <= allowed
    return is_right


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) in (3, 4) else sys.exit(__doc__)
