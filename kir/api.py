"""The functions of the package: `kir.load`; `kir.export`, `verify`, `summary`, `plot` and `diff` for whatever it takes.

The command line says the same in words. kir/ reaches out to exporters and importers here, inside the functions.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kir.errors import InvalidArgumentError, KirError, UsageError
from kir.support.files import check_target

if TYPE_CHECKING:
    from kir.exporters.picture import Picture
    from kir.exporters.pipeline import ExportOptions, ExportResult, SourceFile
    from kir.exporters.script import ScriptReport
    from kir.importers.arrays import GivenArrays
    from kir.importers.load import CustomObjects, InputShapes, LostMask, PathLike, Reading, Source
    from kir.ir.graph import Graph, Value
    from kir.modeling.comparison import Comparison
    from kir.modeling.model import Model
    from kir.modeling.summary import Summary
    from kir.numerics.report import VerificationReport
    from kir.passes import Pass


Progress: TypeAlias = Callable[[str], None]
AfterPass: TypeAlias = "Callable[[Pass, Graph, int], None]"


def silent(stage: str) -> None:
    """Say nothing of the stage that begins."""


def load(
    source: Source,
    *,
    weights: PathLike | None = None,
    custom_objects: CustomObjects | None = None,
    on_lost_mask: LostMask | None = None,
    outputs: Sequence[str] = (),
    batch: int | None = None,
    input_shapes: InputShapes | None = None,
    strict: bool = False,
) -> Model | Graph:
    """Return the model that a file, a script or Keras itself holds; of an ONNX file, its graph.

    Nothing that is found in a file is run; only a script is.

    Args:
        source: a `.keras`, `.h5`, `.hdf5` or `.onnx` file, the `.json` of a model's config, a script `model.py`, with
            the variable's name where it builds several models (`model.py:encoder`), or a model of Keras itself. A model
            or a graph of kir is returned as it is.
        weights: a `.weights.h5`, `.npz` or `.safetensors` file to load into the layers.
        custom_objects: the functions and layers that a Keras file only names, or that own layers of a Keras model: by
            their names, a script that defines them, or the name of an installed module that has them, such as "tcn".
        on_lost_mask: what to do when a mask reaches a layer that cannot carry it; by default "warn", as in Keras, or
            what `kir.config.on_lost_mask` says for scripts that do not import Keras.
        outputs: the names of layers whose outputs are to be those of the model; what comes after them is left off.
        batch: the size of the first axis of all inputs of an ONNX file that leaves it open.
        input_shapes: shapes for inputs of an ONNX file, by name; see `InputShapes`. Layers that cannot be made for
            unknown sizes are made for these; otherwise a model of layers keeps its unknown sizes until it is exported.
        strict: refuse operators of an ONNX file that kir does not know, or whose parameters the model computes; else
            they are carried through as they are, and a warning names them.

    Raises:
        UsageError: an option is for another kind of source.
        InvalidArgumentError: the source is none of these, or a size is none of an input.
        FormatError: the file cannot be read, or is damaged.
        ScriptError: the script cannot be run, or leaves no single model behind.
        UnsupportedError: the model has layers or operators that kir has not; all are listed.
    """
    from kir.importers.load import Reading

    return Reading(weights, custom_objects, on_lost_mask, outputs, batch, input_shapes, strict, observe).load(source)


def assumptions_of(file: PathLike) -> tuple[str, ...]:
    """Return the equalities of sizes that an ONNX file takes for granted; none if kir cannot read it as a graph."""
    from kir.importers.onnx_file import import_graph

    with warnings.catch_warnings(action="ignore"), suppress(KirError):  # that operators are carried through
        return tuple(import_graph(Path(file)).assumptions())
    return ()


def observe(model: bytes, folder: Path | None, names: Sequence[str]) -> Mapping[str, str]:
    """Return the types of values of a serialized ONNX model, found by running it; see `observe_types`."""
    from kir.exporters.onnx_file.observe import observe_types

    return observe_types(model, folder, names)


def export(
    model: Source,
    path: PathLike,
    *,
    weights: PathLike | None = None,
    custom_objects: CustomObjects | None = None,
    on_lost_mask: LostMask | None = None,
    outputs: Sequence[str] = (),
    batch: int | None = None,
    input_shapes: InputShapes | None = None,
    opset: int | None = None,
    training: bool = False,
    losses: bool = False,
    external_data: str = "auto",
    metadata: Mapping[str, str] | None = None,
    level: int = 2,
    passes: str | None = None,
    verify: bool = True,
    bisect: bool = False,
    data: GivenArrays | None = None,
    expect: GivenArrays | None = None,
    against: str | None = None,
    proof: PathLike | None = None,
    strict: bool = False,
    provider: str = "cpu",
    seed: int = 0,
    progress: Progress = silent,
    after_pass: AfterPass | None = None,
) -> ExportResult | ScriptReport:
    """Write a model as an ONNX file, or as a script of layers, and verify it; what differs is not written.

    Args:
        model: what `kir.load` takes; models and graphs are left as they are.
        path: the `.onnx` file or the `.py` script to write.
        weights, custom_objects, on_lost_mask, outputs: how to read the model; see `kir.load`.
        batch, input_shapes: sizes of inputs to fix, or to name.
        opset: ONNX opset, 13 or newer; by default the newest that onnxruntime supports, or 18 where it averages faster.
        training: keep Dropout, switched by the input `training_mode`.
        losses: add the sum of all regularization terms as an output.
        external_data: whether weights lie in a file beside the model: "yes", "no", or "auto", which is near 2 GB.
        metadata: entries for the file's metadata.
        level: 0 for no passes, 1 for those that keep every bit, 2 for all.
        passes: passes to run by name, or to leave out: "fold-constants,simplify", "-fold-affine".
        verify: compare the file with the model in onnxruntime before it takes its place.
        bisect: on a mismatch, name the first node that differs.
        data, expect, against: what to verify with beside, such as arrays of your own; see `kir.verify`.
        proof: a `.npz` file to write as well, with which anybody can check the file; see `check_proof`.
        strict: write nothing either if operators of an ONNX file would be carried through as they are, or if the
            verification could not show all that it should.
        provider, seed: onnxruntime's execution provider ("cpu", "cuda", …), and the seed of the random inputs.
        progress: told the name of each stage as it begins.
        after_pass: called after each pass with the graph and the number of changes.

    Raises:
        KirError: the model cannot be read or expressed, options contradict, or onnxruntime computes something else.
    """
    from kir.exporters.pipeline import ExportOptions
    from kir.importers.load import Reading, refuse_options

    reading = Reading(weights, custom_objects, on_lost_mask, outputs, batch, input_shapes, strict, observe)
    options = ExportOptions(opset=opset, training=training, losses=losses, level=level, passes=passes)
    options = replace(options, external_data=external_data, metadata=metadata or {})
    asked = {"data": data is not None, "expect": expect is not None, "against": against, "proof": proof is not None}
    if not verify or Path(path).suffix == ".py":
        refuse_options("is for ONNX files that are verified: leave --no-verify out, and write .onnx", **asked)
    options = replace(options, verify=verify, bisect=bisect, strict=strict, provider=provider, seed=seed)
    if any(asked.values()):
        from kir.exporters.onnx_file.verify.evidence import gather_evidence
        from kir.importers.arrays import given_arrays

        options = replace(options, evidence=gather_evidence(data, expect, against, proof, given_arrays))
    return _export(model, Path(path), reading, options, progress, after_pass)


def _export(
    source: Source,
    path: Path,
    reading: Reading,
    options: ExportOptions,
    progress: Progress,
    after_pass: AfterPass | None,
) -> ExportResult | ScriptReport:
    from kir.importers.load import is_onnx_file

    require_suffix(path, ".onnx", ".py")
    if path.suffix == ".py":
        _refuse_for_script(path, options, after_pass=after_pass)
        return _export_script(source, path, reading, options, progress)
    if is_onnx_file(source):
        reading.refuse_for_onnx(source, losses=options.losses)
    return _export_onnx(source, path, reading, options, progress, after_pass)


def _export_onnx(
    source: Source,
    path: Path,
    reading: Reading,
    options: ExportOptions,
    progress: Progress,
    after_pass: AfterPass | None,
) -> ExportResult:
    from kir.exporters.pipeline import export_model, export_reference
    from kir.modeling.model import Model
    from kir.modeling.training import require_trained

    progress("reading the model")
    model, names = reading.load_named(source)
    asked = options.evidence and options.evidence.with_keras(model, source, reading.is_whole, reading.custom_objects)
    with asked or nullcontext() as evidence:
        options = replace(options, evidence=evidence)
        if isinstance(model, Model):
            if model is source:
                require_trained(model)
            options = replace(options, sizes=reading.sizes_of(model))
            return export_model(model, path, options, progress=progress, after_pass=after_pass)
        if model is source:
            # An unverified export optimises the graph that it is given.
            model = model.copy()
        original = _file_read(source, names, reading)
        return export_reference(model, path, options, source=original, progress=progress, after_pass=after_pass)


def _file_read(source: Source, names: Mapping[Value, str], reading: Reading) -> SourceFile | None:
    """Return the ONNX file that a graph was read from; it is compared if the graph has no sizes of its own."""
    from kir.exporters.pipeline import SourceFile
    from kir.importers.load import is_onnx_file

    return SourceFile(Path(source), names, not reading.sets_sizes) if is_onnx_file(source) else None


def _export_script(
    source: Source, path: Path, reading: Reading, options: ExportOptions, progress: Progress
) -> ScriptReport:
    from kir.exporters.script import export_script
    from kir.importers.load import is_onnx_file, split_name
    from kir.importers.script import load_script

    if isinstance(source, str | os.PathLike):
        read, _ = split_name(os.fspath(source))
        if read.exists() and path.exists() and path.samefile(read):
            raise UsageError(f"{path} is the script that would be read; write to another file")
    if not is_onnx_file(source) and reading.sets_sizes:
        raise UsageError(
            f"--batch and --input-shapes are for ONNX files; give the sizes in {source}, or when {path} is read"
        )
    progress("reading the model")
    model, names = reading.load_named(source)
    return export_script(
        model,
        path,
        load=load_script,
        source=None if reading.sets_sizes else _file_read(source, names, reading),
        verify=options.verify,
        provider=options.provider,
        seed=options.seed,
        strict=options.strict,
        progress=progress,
    )


def _refuse_for_script(path: Path, options: ExportOptions, **others: object) -> None:
    """Refuse options that say how an ONNX file is to be written."""
    from kir.exporters.pipeline import ExportOptions
    from kir.importers.load import refuse_options

    usual = replace(ExportOptions(), **{name: vars(options)[name] for name in ("verify", "strict", "provider", "seed")})
    changed = {name: value for name, value in vars(options).items() if value != vars(usual)[name]}
    refuse_options(f"is for ONNX files; {path} is a script", **dict.fromkeys(changed, True), **others)


def require_suffix(path: Path, *suffixes: str) -> None:
    """Refuse a file that cannot be written before any work is done.

    Raises:
        InvalidArgumentError: its name ends otherwise.
        FormatError: see `kir.support.files.check_target`.
    """
    if path.suffix not in suffixes:
        raise InvalidArgumentError(f"cannot write {path}: expected a name that ends in {' or '.join(suffixes)}")
    check_target(path)


def verify(
    model: Source,
    file: PathLike,
    *,
    weights: PathLike | None = None,
    custom_objects: CustomObjects | None = None,
    on_lost_mask: LostMask | None = None,
    outputs: Sequence[str] = (),
    batch: int | None = None,
    input_shapes: InputShapes | None = None,
    training: bool = False,
    losses: bool = False,
    bisect: bool = False,
    report: PathLike | None = None,
    data: GivenArrays | None = None,
    expect: GivenArrays | None = None,
    against: str | None = None,
    strict: bool = False,
    provider: str = "cpu",
    seed: int = 0,
    progress: Progress = silent,
) -> VerificationReport:
    """Compare a model with an ONNX file, which onnxruntime runs on random inputs; the model's own numbers are exact.

    Args:
        model: what `kir.load` takes. Another ONNX file runs in onnxruntime, too.
        file: the ONNX file.
        weights, custom_objects, on_lost_mask, outputs: how to read the model; see `kir.load`.
        batch, input_shapes, training, losses: what the file was exported with; see `kir.export`.
        bisect: on a mismatch, name the first node, and its layer, that differs.
        report: a page (.html) to write, with what each part says and the error of every node.
        data: arrays of your own to verify with, beside random ones: a `.npz` file with an array for each input, by name
            or as `arr_0`, `arr_1`, … in their order; a `.npy` file for a single input; or such arrays. All rows are
            used, a bounded number at a time: a model is taken to compute each row of its batch by itself.
        expect: what your framework computes from them, likewise for outputs, of which some may be left out. Another
            correct execution may be twice as far off as the file.
        against: "keras" to compare with the installed Keras and its backend (KERAS_BACKEND or Keras's settings), in a
            process of its own. Keras then reads the file itself, and may run code in it.
        strict: whether the report fails, too, if the verification could not show all that it should.
        provider: onnxruntime's execution provider.
        seed: of the random inputs.
        progress: told the name of each stage as it begins.

    Raises:
        KirError: the model or the file cannot be read or run, or options do not go together.
    """
    from kir.exporters.onnx_file.verify.evidence import gather_evidence
    from kir.exporters.onnx_file.verify.file import verify_file
    from kir.exporters.onnx_file.verify.held import find_held
    from kir.exporters.onnx_file.verify.two_files import verify_onnx_files
    from kir.importers.arrays import given_arrays
    from kir.importers.load import Reading, is_onnx_file
    from kir.importers.onnx_file import import_named

    read_strictly = partial(import_named, strict=True)
    evidence = gather_evidence(data, expect, against, None, given_arrays)
    page = None if report is None else Path(report)
    if page is not None:
        require_suffix(page, ".html")
    reading = Reading(weights, custom_objects, on_lost_mask, outputs, batch, input_shapes, observe=observe)
    progress("reading the model")
    if not is_onnx_file(model):
        read = reading.load(model)
        graph = _lowered(read, reading, training, losses)
        with evidence.with_keras(read, model, reading.is_whole, custom_objects) as evidence:
            progress("verifying")
            held = find_held(graph, Path(file), training, read_strictly)
            result = verify_file(graph, Path(file), provider, seed, held=held, evidence=evidence)
        result = replace(result.bisected() if bisect and result.problems else result, strict=strict)
        if page is not None:
            from kir.exporters.picture.errors import save_error_page

            named = model if isinstance(model, str | os.PathLike) else graph.name
            save_error_page(page, f"{file} of {named}", held.graph or graph, result)
        return result
    if page is not None:
        raise UsageError("--report compares node by node with a model, and MODEL is an ONNX file")
    changes = {"batch": batch, "input_shapes": input_shapes, "bisect": bisect, "against": against}
    reading.refuse_for_onnx(model, training=training, losses=losses, **changes)
    result = verify_onnx_files(Path(model), Path(file), provider, seed, evidence, read_strictly)
    return replace(result, strict=strict)


def check_proof(
    file: PathLike, proof: PathLike, *, strict: bool = False, provider: str = "cpu", progress: Progress = silent
) -> VerificationReport:
    """Check an ONNX file against a proof that `kir.export(proof=…)` wrote: its digest, and what onnxruntime computes.

    Args:
        file: the ONNX file; its model is not needed.
        proof: the `.npz` file, whose format docs/proof.md describes. It says nothing of who wrote it.
        strict: whether the report fails, too, if the check could not show all that it should.
        provider: onnxruntime's execution provider.
        progress: told the name of each stage as it begins.

    Raises:
        KirError: the file or the proof cannot be read or run.
    """
    from kir.exporters.onnx_file.verify.check_proof import check_proof
    from kir.exporters.onnx_file.verify.proof_file import read_proof
    from kir.importers.arrays import load_npz
    from kir.importers.bounded_json import parse

    progress("reading the proof")
    read = read_proof(load_npz(Path(proof)), parse, str(proof))
    progress("verifying")
    return replace(check_proof(Path(file), read, str(proof), provider), strict=strict)


def _lowered(model: Model | Graph, reading: Reading, training: bool, losses: bool) -> Graph:
    from kir.ir.graph import Graph
    from kir.modeling.lower import lower

    if isinstance(model, Graph):
        return model
    return lower(model, training=training, sizes=reading.sizes_of(model), losses=losses)


def summary(model: Source, *, ops: bool = False, level: int = 0) -> Summary | Graph:
    """Return the table of a model's layers, which prints as Keras's does; or its graph of operators.

    Args:
        model: what `kir.load` takes.
        ops: return the graph instead, which prints one operator a line.
        level: the passes to run on that graph before, see `kir.export`.

    Raises:
        KirError: the model cannot be read; or it is an ONNX file, which has no layers.
    """
    from kir import passes
    from kir.modeling.model import Model
    from kir.modeling.summary import summarize

    read = load(model)
    if ops:
        graph = read.to_graph() if isinstance(read, Model) else read.copy()
        passes.run(graph, passes.pipeline(level))
        return graph
    if isinstance(read, Model):
        return summarize(read)
    raise UsageError(f"{read.provenance.file or read.name} has no layers; print its graph (--ops), or see kir inspect")


def plot(
    model: Source,
    path: PathLike | None = None,
    *,
    view: str | None = None,
    level: int | None = None,
    passes: str | None = None,
    before_after: bool = False,
    direction: str = "TB",
    show: str = "types,attributes,weights",
    expand_nested: bool = False,
) -> Picture:
    """Return a picture of a model or graph, which notebooks show, and which is written to `path` if one is given.

    Args:
        model: what `kir.load` takes.
        path: a file to write, `.svg`, `.png`, `.html`, `.dot` or `.mmd` (Mermaid).
        view: "layers", or "ops" for the graph of operators; default: layers, of a model.
        level: passes to run before showing operators: 0, 1 or 2; default: 2 for a model, 0 for a graph.
        passes: passes by name, see `kir.passes.select`.
        before_after: operators before and after the passes side by side, with what changed (SVG and PNG).
        direction: "TB", from top to bottom, or "LR", from left to right.
        show: some of "types,attributes,weights", or "none".
        expand_nested: draw the layers of nested models inside their boxes.

    Raises:
        InvalidArgumentError: an argument is none of those, or the model's input shape is not known.
        FormatError: the file cannot be written.
    """
    from kir.exporters.picture import Picture

    picture = Picture(load(model), view, level, passes, before_after, direction, show, expand_nested)
    if path is not None:
        picture.save(Path(path))
    return picture


def diff(
    a: Source,
    b: Source,
    *,
    weights_a: PathLike | None = None,
    weights_b: PathLike | None = None,
    custom_objects: CustomObjects | None = None,
    on_lost_mask: LostMask | None = None,
    level: int | None = None,
    training: bool = False,
    losses: bool = False,
    batch: int | None = None,
    input_shapes: InputShapes | None = None,
    run: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Comparison:
    """Compare the signatures, structure, weights and results of two models.

    Operators are compared, so a model of layers is lowered first.

    Args:
        a, b: what `kir.load` takes.
        weights_a, weights_b: weights to load into one of them first.
        custom_objects, on_lost_mask: how to read those of them that can use it; see `kir.load`.
        level: of the passes to run on both first. By default all, if one side has layers and the other is a graph or an
            ONNX file, which `kir.export` may have optimised; otherwise none, so that nothing is hidden.
        training, losses, batch, input_shapes: how to lower models of layers; see `kir.export`.
        run: compare what both compute from the same random inputs.
        seed: of the random inputs.
        progress: told the name of each stage as it begins.

    Raises:
        KirError: a model cannot be read, or options do not go together.
    """
    from kir.importers.load import Reading
    from kir.modeling.comparison import compare_graphs, default_level
    from kir.modeling.model import Model

    shared = Reading(None, custom_objects, on_lost_mask, (), batch, input_shapes, observe=observe)
    readings = _readings((a, b), (weights_a, weights_b), shared)
    subjects, graphs = [], []
    # A is lowered before B is read: functions of scripts may import modules from beside them when they are traced.
    for name, source, reading in zip("AB", (a, b), readings, strict=True):
        progress(f"reading {name}")
        subjects.append(reading.load(source))
        graphs.append(_lowered(subjects[-1], reading, training, losses))
    return compare_graphs(
        *graphs,
        level=default_level(*subjects) if level is None else level,
        training=training,
        metadata=not any(isinstance(subject, Model) for subject in subjects),
        run=run,
        seed=seed,
        progress=progress,
    )


def _readings(sources: Sequence[Source], weights: Sequence[PathLike | None], shared: Reading) -> list[Reading]:
    """Return how to read each source, with the options that it can use. What none can use, each is to refuse."""
    from kir.importers.load import is_onnx_file, takes_custom_objects

    some_take_objects = any(map(takes_custom_objects, sources))
    some_have_layers = not all(map(is_onnx_file, sources))
    return [
        replace(
            shared,
            weights=own_weights,
            custom_objects=shared.custom_objects if takes_custom_objects(source) or not some_take_objects else None,
            on_lost_mask=None if is_onnx_file(source) and some_have_layers else shared.on_lost_mask,
        )
        for source, own_weights in zip(sources, weights, strict=True)
    ]
