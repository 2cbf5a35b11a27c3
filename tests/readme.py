"""What of the documentation is made from the code: `python -m tests.readme` writes it anew."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import kir
import kir.layers
from kir.layers.unsupported import UNSUPPORTED, UNSUPPORTED_ARGUMENTS, UNSUPPORTED_MEMBERS
from kir.modeling.layer import Layer, own_arguments

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "layers.md"

PAGE_HEAD = """# The layers of Keras in kir

Arguments, defaults and numbers are those of Keras 3. Every layer also takes `name`, `dtype`, `trainable` and
`activity_regularizer`, and as the first of a Sequential `input_shape`, `batch_input_shape`, `input_dim` and
`batch_size`. A mask that is lost is an error in a model written with kir's layers, and as in Keras a warning in one
that was read from a file (`--on-lost-mask`). This page is made from the code: `python -m tests.readme`.
"""

MEMBERS_HEAD = """
Layers and models have all other methods and properties of Keras's, with the same arguments. These are missing:

| arguments, methods and properties | why |
|---|---|"""


def layer_page() -> str:
    """Return the page of all layers, by group: arguments, masks and limits; and those that kir has not."""
    parts = [PAGE_HEAD]
    for group, classes in grouped_layers().items():
        parts.append(f"## {group.capitalize()}\n")
        parts.append("| layer | arguments | a mask that reaches it | limits |\n|---|---|---|---|")
        parts += [row(cls.__name__, own_arguments(cls), mask_behaviour(cls), cls.limits) for cls in classes]
        if group == "core":
            parts.append(row("Input", tuple(inspect.signature(kir.layers.Input).parameters), "has none", ""))
        parts.append("")
    parts.append("## Not supported\n\n| layer | why |\n|---|---|")
    parts += [f"| {name} | {reason} |" for name, reason in sorted(UNSUPPORTED.items())]
    parts.append(MEMBERS_HEAD)
    reasons = {**UNSUPPORTED_ARGUMENTS, **UNSUPPORTED_MEMBERS}
    for reason in sorted(set(reasons.values())):
        parts.append(f"| {' '.join(sorted(name for name in reasons if reasons[name] == reason))} | {reason} |")
    return "\n".join(parts) + "\n"


# Keras's groups, where kir has several modules for one.
GROUPS = {
    **dict.fromkeys(("einsum_dense", "embedding"), "core"),
    **dict.fromkeys(("rnn", "rnn_cells", "conv_lstm", "wrappers"), "recurrent"),
    **dict.fromkeys(("audio", "categorical", "hashing", "image"), "preprocessing"),
}


def row(name: str, arguments: tuple[str, ...], mask: str, limits: str) -> str:
    return f"| {name} | {' '.join(arguments) or 'none of its own'} | {mask} | {limits} |"


def layer_table() -> str:
    """Return the names of all layers, by group."""
    rows = [
        f"| {group} | {', '.join(cls.__name__ for cls in classes)} |" for group, classes in grouped_layers().items()
    ]
    return "\n".join(["| group | layers |", "|---|---|", *rows])


def grouped_layers() -> dict[str, list[type[Layer]]]:
    """Return the layer classes that `kir.layers` exports, by group."""
    hidden = (Layer, kir.layers.InputLayer)
    classes = {
        v
        for name in kir.layers.__all__
        if inspect.isclass(v := getattr(kir.layers, name)) and issubclass(v, Layer) and v not in hidden
    }
    groups: dict[str, list[type[Layer]]] = {}
    for cls in sorted(classes, key=lambda cls: cls.__name__):
        module = cls.__module__.rpartition(".")[2]
        groups.setdefault(GROUPS.get(module, module), []).append(cls)
    return dict(sorted(groups.items()))


def mask_behaviour(cls: type[Layer]) -> str:
    """What a layer does with a mask, read from its class."""
    if "mask" in inspect.signature(cls.call).parameters:
        return "is used"
    if cls.compute_mask is not Layer.compute_mask:
        return "becomes that of the output"
    return "is passed on" if cls.supports_masking is True else "is lost: an error"


MODEL = "models/mnist_mlp.py"


def export_transcript() -> str:
    """What the export command prints for the model in the README."""
    with tempfile.TemporaryDirectory() as folder:
        return _transcript(Path(folder), "export", MODEL, "-o", "mnist_mlp.onnx")


def mismatch_transcript() -> str:
    """What verification prints where one of 100,000 weights was off by 0.00001."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.onnx")
        kir.export(ROOT / MODEL, path, verify=False)
        file = onnx.load(path)
        kernel = next(one for one in file.graph.initializer if one.name == "dense_1/kernel")
        array = numpy_helper.to_array(kernel).copy()
        array[0, 0] += np.float32(1e-5)
        kernel.CopyFrom(numpy_helper.from_array(array, kernel.name))
        onnx.save(file, path)
        return _transcript(path.parent, "verify", MODEL, path.name, code=1)


def _transcript(folder: Path, *arguments: str, code: int = 0) -> str:
    """Return a command and what it prints, as a block. The names of models are given from the root."""
    found = [str(ROOT / word) if word == MODEL else word for word in arguments]
    result = subprocess.run(
        [sys.executable, "-m", "kir.cli", *found],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return f"```\n$ kir {' '.join(arguments)}\n{result.stdout.strip()}\n```"


def with_part(text: str, name: str, content: str) -> str:
    """Return the text with one marked part replaced."""
    pattern = rf"(<!-- {name} begins -->\n).*?(<!-- {name} ends -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL)


def generated_readme() -> str:
    """Return the README with its generated parts as the code says they are."""
    text = with_part(README.read_text(encoding="utf-8"), "table", layer_table())
    return with_part(with_part(text, "export", export_transcript()), "mismatch", mismatch_transcript())


if __name__ == "__main__":
    README.write_text(generated_readme(), encoding="utf-8")
    PAGE.write_text(layer_page(), encoding="utf-8")
