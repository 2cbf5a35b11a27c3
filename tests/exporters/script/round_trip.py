"""Scripts of graphs and models, run and exported again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from kir.exporters.onnx_file import export_graph
from kir.exporters.pipeline import ExportOptions, export_model
from kir.exporters.script import export_script
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.modeling.model import Model

ROOT = Path(__file__).parents[3]
MODULES = {"kir", "kir.layers", "kir.ops", "kir.scripting", "pathlib"}  # of which scripts import


def export_bytes(model: Model, folder: Path, **options: object) -> bytes:
    """Return the ONNX file of a model."""
    path = folder / "exported.onnx"
    export_model(model, path, ExportOptions(verify=False, **options))  # type: ignore[arg-type]
    return path.read_bytes()


def graph_bytes(graph: Graph, folder: Path) -> bytes:
    """Return the ONNX file of a graph, as it is."""
    path = folder / "graph.onnx"
    export_graph(graph, path)
    return path.read_bytes()


def through_script(subject: Model | Graph, folder: Path) -> tuple[Model, str]:
    """Return the model that the script of a subject builds, and the script, which imports nothing that may move."""
    path = folder / "written.py"
    export_script(subject, path, verify=False, load=load_script)
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE)) <= MODULES, text
    return load_script(path), text


def read(data: bytes, folder: Path) -> Graph:
    """Return the graph of an ONNX file."""
    path = folder / "read.onnx"
    path.write_bytes(data)
    return import_graph(path)


def complaints(scripts: Iterable[Path], *, width: int = 88) -> str:
    """What linter and formatter have to say about scripts; nothing, if all is well."""
    files = [path.resolve() for path in scripts]
    settings = ["--isolated", "--no-cache", "--line-length", str(width), *map(str, files)]
    said = [
        subprocess.run(
            [sys.executable, "-m", "ruff", *command, *settings],
            capture_output=True,
            text=True,
            check=False,
            cwd=files[0].parent,
        )
        for command in (["check", "--quiet", "--extend-select", "I,RET,UP,SIM,RUF"], ["format", "--diff", "--quiet"])
    ]
    return "".join(one.stdout + one.stderr for one in said)
