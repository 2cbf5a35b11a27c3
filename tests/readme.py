"""The parts of the README that are made from the code: `python -m tests.readme` writes them anew."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kir.layers
from kir.layers.base import Layer, own_arguments

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def layer_table() -> str:
    """Every public layer with its arguments, by group."""
    rows = [("Input", tuple(inspect.signature(kir.layers.Input).parameters), "has none")]
    rows += [(cls.__name__, own_arguments(cls), mask_behaviour(cls)) for cls in public_layers()]
    lines = ["| layer | arguments | a mask that reaches it |", "|---|---|---|"]
    lines += [f"| {name} | {' '.join(arguments) or 'none of its own'} | {mask} |" for name, arguments, mask in rows]
    return "\n".join(lines)


def public_layers() -> list[type[Layer]]:
    """The layer classes that `kir.layers` exports, grouped as they are there."""
    hidden = (Layer, kir.layers.InputLayer)
    classes = [v for v in vars(kir.layers).values() if inspect.isclass(v) and issubclass(v, Layer) and v not in hidden]
    return sorted(set(classes), key=lambda cls: (cls.__module__, cls.__name__))


def mask_behaviour(cls: type[Layer]) -> str:
    """What a layer does with a mask, read from its class."""
    if "mask" in inspect.signature(cls.call).parameters:
        return "is used"
    if cls.compute_mask is not Layer.compute_mask:
        return "becomes that of the output"
    return "is passed on" if cls.supports_masking is True else "is lost: an error"


def export_transcript() -> str:
    """What the export command prints for the model in the README."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-m", "kir.cli", "export", str(ROOT / "models/mnist_mlp.py"), "-o", "mnist_mlp.onnx"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
    return f"```\n$ kir export models/mnist_mlp.py -o mnist_mlp.onnx\n{result.stdout.strip()}\n```"


def with_part(text: str, name: str, content: str) -> str:
    """The text with one marked part replaced."""
    pattern = rf"(<!-- {name} begins -->\n).*?(<!-- {name} ends -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL)


def generated_readme() -> str:
    """The README with its generated parts as the code says they are."""
    text = with_part(README.read_text(), "table", layer_table())
    return with_part(text, "export", export_transcript())


if __name__ == "__main__":
    README.write_text(generated_readme())
