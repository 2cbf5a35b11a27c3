"""From a model or a graph to a script that is proved to build the same, with its weights beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kir import passes
from kir.errors import UnsupportedError
from kir.exporters.onnx_file.write import write_graph as write_onnx
from kir.exporters.pipeline import SourceFile, describe_source, verify_source
from kir.exporters.script.graphs import finished_passes, write_graph
from kir.exporters.script.models import write_model
from kir.exporters.script.same_file import has_graph, writes_same_bytes
from kir.exporters.script.script import WEIGHTS_FILE, Script
from kir.exporters.weights import write_safetensors
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.modeling.lower import lower
from kir.modeling.model import Model
from kir.modeling.weight_names import named_weights
from kir.passes.drop_unsqueezes import drop_unsqueezes
from kir.passes.keep_states import keep_states
from kir.support.files import behind_links, check_target, replacing
from kir.support.mapped_files import require_unchanged
from kir.support.text import ShownAsText, format_bytes

if TYPE_CHECKING:
    from kir.numerics.report import VerificationReport


@dataclass(frozen=True)
class ScriptReport(ShownAsText):
    """What was written, and how it verified (None when it was not).

    `same_bytes` says whether the script exports to the same ONNX file as what it was written from, byte for byte.
    `source` says how the file that the graph was read from verified, if it was read from one.
    """

    path: Path
    weights_path: Path | None
    lines: int
    size_bytes: int
    same_bytes: bool | None
    verification: VerificationReport | None
    source: VerificationReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all of it, for `--json`."""
        return {
            "file": str(self.path),
            "weights": None if self.weights_path is None else str(self.weights_path),
            "lines": self.lines,
            "bytes": self.size_bytes,
            "same_onnx_bytes": self.same_bytes,
            "verification": None if self.verification is None else self.verification.to_json(),
            "source_verification": None if self.source is None else self.source.to_json(),
        }

    def _headline(self) -> str:
        weights = f", weights in {self.weights_path}" if self.weights_path else ""
        return f"{self.path}: {self.lines} lines, {format_bytes(self.size_bytes)}{weights}"

    def __repr__(self) -> str:
        return f"<ScriptReport {self._headline()}, {'not verified' if self.verification is None else 'verified'}>"

    def __str__(self) -> str:
        lines = [self._headline()]
        if self.verification is None:
            return "\n".join([*lines, "not verified"])
        same = "the same ONNX file, byte for byte" if self.same_bytes else "an ONNX file that computes the same"
        lines += [f"the script was run, and exports to {same}", str(self.verification)]
        if self.source is not None:
            lines.append(describe_source(self.source))
        return "\n".join(lines)


def export_script(
    subject: Model | Graph,
    path: Path,
    *,
    load: Callable[[Path], Model],
    source: SourceFile | None = None,
    verify: bool = True,
    provider: str = "cpu",
    seed: int = 0,
    strict: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> ScriptReport:
    """Write a model, or a graph, as a Python script that builds it with kir's layers.

    The script, and a .safetensors file for its weights, whose name begins like the script's and ends in a digest of
    them, are written and verified in a folder beside the target and moved there last: whatever fails, what was there
    stays as it was. They change together, see `kir.support.files`.

    Args:
        subject: what to write. Of a model the layers are written as they are; if some are the user's own, its graph is.
        path: the script to write.
        load: runs a script and gives its model; what is written is tried with it.
        source: the ONNX file that the graph was read from, if it is to be verified that it was read right.
        verify: run the script, export what it builds, and compare that in onnxruntime with the subject.
        provider: onnxruntime's execution provider.
        seed: of the random inputs.
        strict: write nothing either if the verification could not show all that it should.
        progress: told the name of each stage as it begins.

    Raises:
        UnsupportedError: something cannot be written as Python.
        MismatchError: what the script builds computes something else.
        NotShownError: with `strict`, the verification could not show all that it should.
        FormatError: the target cannot be written, or the file that the weights are read from changed.
    """
    check_target(path)
    progress("writing")
    with replacing(path, WEIGHTS_FILE) as written:
        text = _write(subject, written, load)
        same_bytes = verification = source_verification = None
        if verify:
            reference = lower(subject) if isinstance(subject, Model) else subject
            same_bytes, verification = _verify(reference, written, load, provider, seed, strict, progress)
            if source is not None:
                source_verification = verify_source(reference, source, provider, seed, strict)
        require_unchanged(_arrays(subject))
        weights = next(iter(WEIGHTS_FILE.of(written)), None)
        size = sum(written.with_name(name).stat().st_size for name in (written.name, weights) if name)
    weights_path = behind_links(path).with_name(weights) if weights else None
    lines = text.count("\n")
    return ScriptReport(path, weights_path, lines, size, same_bytes, verification, source_verification)


def _arrays(subject: Model | Graph) -> list[Array]:
    if isinstance(subject, Graph):
        return subject.constant_arrays()
    return [weight.array for weight in named_weights(subject).values()]


def _write(subject: Model | Graph, path: Path, load: Callable[[Path], Model]) -> str:
    if isinstance(subject, Graph):
        return _write_graph(subject, path, load)
    script = Script()
    try:
        write_model(script, subject)
    except UnsupportedError:
        # The user's own layers, or functions where no function can be written: the graph holds what they do.
        return _write_graph(lower(subject), path, load)
    return _write_files(script, {name: weight.array for name, weight in named_weights(subject).items()}, path)


def _write_graph(graph: Graph, path: Path, load: Callable[[Path], Model]) -> str:
    """Write the script of a graph, with layers as passes left them if all of them together give the graph again."""
    if graph.provenance.kind == "onnx file":
        graph = graph.copy()
        passes.run(graph, [keep_states, drop_unsqueezes])
    finished = finished_passes(graph)
    script = Script()
    text = _write_files(script, write_graph(script, graph, finished), path)
    if script.needs_passes and not has_graph(load(path), graph, finished):
        script = Script()
        text = _write_files(script, write_graph(script, graph), path)
    return text


def _write_files(script: Script, weights: dict[str, Array], path: Path) -> str:
    arrays = script.arrays | weights
    name = WEIGHTS_FILE.add(path, lambda file: write_safetensors(file, arrays)) if arrays else ""
    text = script.text(name)
    path.write_text(text, encoding="utf-8")
    return text


def _verify(
    reference: Graph,
    script: Path,
    load: Callable[[Path], Model],
    provider: str,
    seed: int,
    strict: bool,
    progress: Callable[[str], None],
) -> tuple[bool, VerificationReport]:
    from kir.exporters.onnx_file.verify.file import verify_file  # 60 ms, for nothing without it

    progress("running the script")
    graph, expected = lower(load(script)), reference.copy()
    for one in (graph, expected):
        passes.run(one, passes.pipeline())
    progress("verifying")
    with tempfile.TemporaryDirectory(dir=script.parent) as folder:
        written = write_onnx(graph, Path(folder) / "model.onnx")
        report = replace(
            verify_file(reference, written.path, provider=provider, seed=seed, written=graph), strict=strict
        )
    report.raise_if_failed()
    return writes_same_bytes(graph, expected), report
