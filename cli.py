"""The command line. Results go to standard output, progress and messages to standard error.

Exit codes: 0 fine; 1 the check failed; 2 usage or unreadable input; 3 unsupported; 4 a bug in kir; 130 interrupted.

Only click is imported here: `kir --help` must be instant, so every command imports what it needs.
"""

from __future__ import annotations

if __name__ == "__main__":
    # python -m kir.cli, or python cli.py: before anything is imported that an interrupt could arrive in.
    from kir.support.program import main as run_program

    run_program()

import contextlib
import dataclasses
import functools
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from kir import __version__
from kir.support.limits import MAX_INT64
from kir.support.program import EXIT_INTERRUPTED, interrupts

if TYPE_CHECKING:
    from kir.exporters.pipeline import ExportResult
    from kir.exporters.script import ScriptReport
    from kir.ir.dims import Dim
    from kir.ir.graph import Graph
    from kir.modeling.model import Model
    from kir.numerics.report import VerificationReport

EXIT_BUG = 4
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5", ".json")
BUG_ADDRESS = "please report it, with the command and the model, where you got kir from"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
provider_option = click.option(
    "--provider", default="cpu", show_default=True, help="onnxruntime's execution provider: cpu, cuda, tensorrt, ..."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random inputs."
)
batch_option = click.option("--batch", type=click.IntRange(1, MAX_INT64), help="Fix the batch size.")
shapes_option = click.option(
    "--input-shapes",
    multiple=True,
    metavar="NAME:1,3,224",
    help="Fix an input's sizes, the batch first; text names an unknown size. Repeatable.",
)


keep_option = click.option(
    "--keep-unknown", is_flag=True, help="Carry operators of an ONNX file that kir does not have through as they are."
)


@dataclass(frozen=True)
class Source:
    """MODEL as the command line names it, with the options that say how to read it."""

    name: str
    weights: Path | None
    custom_objects: Path | None
    on_lost_mask: str | None
    outputs: tuple[str, ...] = ()

    @property
    def is_onnx(self) -> bool:
        return Path(self.name).suffix == ".onnx"

    @property
    def is_keras_file(self) -> bool:
        return Path(self.name).suffix in KERAS_SUFFIXES

    def read(
        self, batch: int | None = None, input_shapes: tuple[str, ...] = (), keep_unknown: bool = False
    ) -> Model | Graph:
        """The model of layers; or the graph of an ONNX file, with its sizes fixed."""
        shapes = _parse_shapes(input_shapes)
        if not self.is_onnx:
            return self._load_with_sizes(shapes)
        self.refuse({})
        from kir.importers.onnx_file import import_graph

        return import_graph(Path(self.name), keep_unknown=keep_unknown, shapes=shapes, batch=batch)

    def _load_with_sizes(self, shapes: dict[str, list[Dim]]) -> Model:
        """The model of layers; where it cannot be made for unknown sizes, for those that were given."""
        from kir.errors import KirError
        from kir.modeling.divisible_sizes import given_sizes

        try:
            return self.load()
        except KirError:
            if not shapes:
                raise
        with given_sizes(shapes):
            return self.load()

    def refuse_for_layers(self, keep_unknown: bool) -> None:
        """Raises a usage error for --keep-unknown where there are layers."""
        if keep_unknown and not self.is_onnx:
            raise click.UsageError(f"--keep-unknown is for ONNX files; {self.name} is a model of layers")

    def refuse(self, options: dict[str, object]) -> None:
        """Raises a usage error for options, among these and the source's own, that say something about layers."""
        own = {
            "--weights": self.weights,
            "--custom-objects": self.custom_objects,
            "--on-lost-mask": self.on_lost_mask,
            "--outputs": self.outputs,
        }
        given = [name for name, value in {**options, **own}.items() if value]
        if given:
            raise click.UsageError(f"{', '.join(given)} is for models of layers; {self.name} is an ONNX file")

    def load(self) -> Model:
        """The model of layers, with the weights that were asked for."""
        from kir.errors import FormatError, InvalidArgumentError
        from kir.importers.script import load_script, run_script, split_name

        path, name = split_name(self.name)
        expected = (
            "expected a script model.py[:name], an .onnx file, or a .keras, .h5, .hdf5 or .json file that Keras wrote"
        )
        if not path.exists():
            raise FormatError(f"there is no file {path}; {expected}")
        if self.is_keras_file:
            from kir.importers.keras_file import load_keras_model

            given = {} if self.custom_objects is None else run_script(self.custom_objects)
            lost = self.on_lost_mask or "warn"
            return load_keras_model(
                path, custom_objects=given, weights=self.weights, on_lost_mask=lost, outputs=self.outputs
            )
        if path.suffix != ".py":
            raise FormatError(f"cannot read {path}; {expected}")
        if self.custom_objects is not None:
            raise InvalidArgumentError(
                f"--custom-objects is for Keras files; {path} is a script, which can import {self.custom_objects}"
            )
        model = load_script(path, name, self.on_lost_mask)
        if self.weights is not None:
            model.load_weights(self.weights)
        if self.outputs:
            from kir.importers.cutting import cut_model

            return cut_model(model, self.outputs)
        return model


objects_option = click.option(
    "--custom-objects",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A script, which is run, with the functions and layers that a Keras file only names.",
)
lost_mask_option = click.option(
    "--on-lost-mask",
    type=click.Choice(["error", "warn"]),
    default=None,
    help="What to do when a mask reaches a layer that cannot carry it.",
)


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the argument MODEL and the options of `Source`, which it takes as its first parameter."""

    @click.argument("name", metavar="MODEL")
    @click.option("--weights", type=click.Path(path_type=Path), help="Load .weights.h5, .npz or .safetensors first.")
    @objects_option
    @lost_mask_option
    @click.option(
        "--outputs", metavar="LAYER,…", help="Leave the end of the model off: these layers' outputs are the model's."
    )
    @functools.wraps(command)
    def with_source(
        name: str,
        weights: Path | None,
        custom_objects: Path | None,
        on_lost_mask: str | None,
        outputs: str | None,
        **options: Any,
    ) -> None:
        names = tuple(one.strip() for one in outputs.split(",")) if outputs is not None else ()
        command(Source(name, weights, custom_objects, on_lost_mask, names), **options)

    return with_source


def source_pair_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the arguments A and B and the options of `Source`, which it takes as its first two parameters.

    Weights are for one of them; the other options are for each that can use them.
    """

    @click.argument("a", metavar="A")
    @click.argument("b", metavar="B")
    @click.option("--weights-a", type=click.Path(path_type=Path), help="Load these weights into A first.")
    @click.option("--weights-b", type=click.Path(path_type=Path), help="Load these weights into B first.")
    @objects_option
    @lost_mask_option
    @functools.wraps(command)
    def with_sources(
        a: str,
        b: str,
        weights_a: Path | None,
        weights_b: Path | None,
        custom_objects: Path | None,
        on_lost_mask: str | None,
        **options: Any,
    ) -> None:
        sources = [
            Source(a, weights_a, custom_objects, on_lost_mask),
            Source(b, weights_b, custom_objects, on_lost_mask),
        ]
        # If none can use an option, each says why.
        if any(source.is_keras_file for source in sources):
            sources = [s if s.is_keras_file else dataclasses.replace(s, custom_objects=None) for s in sources]
        if not all(source.is_onnx for source in sources):
            sources = [dataclasses.replace(s, on_lost_mask=None) if s.is_onnx else s for s in sources]
        command(*sources, **options)

    return with_sources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kir")
@click.option("--debug", is_flag=True, help="Print a traceback for every error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Turn Keras models into verified ONNX files.

    MODEL is a Python script that builds a model, with the variable's name where there are several: model.py:name.
    Or it is a file that Keras wrote: .keras, .h5, .hdf5, or the .json of a model's config, with --weights.
    Or it is an ONNX file, to make it smaller.
    """
    context.obj = {"debug": debug}
    try:
        os.getcwd()
    except OSError as error:
        raise click.UsageError(f"cannot use the current folder: {error.strerror}; go to one that exists") from None


@cli.command()
@source_options
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .onnx file to write, or .py script."
)
@click.option(
    "--opset",
    type=int,
    help="ONNX opset, 13 or later.  [default: the newest that onnxruntime supports; 18 where it averages faster]",
)
@click.option("--training", is_flag=True, help="Keep Dropout, switched by the input training_mode.")
@click.option("--losses", is_flag=True, help="Add the sum of all regularization terms as an output.")
@batch_option
@shapes_option
@click.option(
    "--external-data",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Put weights into a file beside the model; auto: near 2 GB.",
)
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Put into the file's metadata. Repeatable.")
@click.option(
    "-O", "level", type=click.IntRange(0, 2), default=2, show_default=True, help="0: no passes; 1: exact ones; 2: all."
)
@click.option("--passes", metavar="a,b,-c", help="Choose passes by name, or leave some out; see kir passes.")
@click.option("--print-after", metavar="PASS", help="Print the graph after this pass on standard error.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Compare with onnxruntime before writing.")
@click.option("--bisect", is_flag=True, help="On a mismatch, name the first node that differs.")
@provider_option
@seed_option
@keep_option
@json_option
@click.pass_context
def export(
    context: click.Context,
    /,
    source: Source,
    output: Path,
    batch: int | None,
    input_shapes: tuple[str, ...],
    keep_unknown: bool,
    print_after: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Export MODEL as an ONNX file or a script, and verify it.

    The file computes the same as MODEL, or it is not written.
    """
    _require_suffix(output, ".onnx", ".py")
    if output.suffix == ".py":
        _refuse_onnx_options(context, output)
        _export_script(source, output, batch, input_shapes, as_json, options)
        return
    if source.is_onnx:
        source.refuse({"--losses": options["losses"]})
    options["metadata"] = _parse_metadata(options["metadata"])
    after_pass = _printer(print_after)
    source.refuse_for_layers(keep_unknown)
    with _progress() as progress:
        progress("reading the model")
        subject = source.read(batch, input_shapes, keep_unknown)
        from kir.exporters.pipeline import ExportOptions, export_model, export_reference
        from kir.modeling.model import Model

        if isinstance(subject, Model):
            chosen = ExportOptions(sizes=_parse_sizes(subject, batch, input_shapes), **options)
            result = export_model(subject, output, chosen, progress=progress, after_pass=after_pass)
        else:
            # With sizes of its own the graph has another signature than the file it was read from.
            original = None if batch or input_shapes else Path(source.name)
            chosen = ExportOptions(**options)
            result = export_reference(
                subject, output, chosen, source=original, progress=progress, after_pass=after_pass
            )
    if as_json:
        _print_json(_export_json(result))
    else:
        _print_export(result)


# What `kir export` can say about a script, beside how to read MODEL.
SCRIPT_OPTIONS = frozenset({"name", "output", "verify", "provider", "seed", "as_json", "batch", "input_shapes"})


def _refuse_onnx_options(context: click.Context, output: Path) -> None:
    """Raises a usage error for options that say how an ONNX file is to be written."""
    own = SCRIPT_OPTIONS | {"weights", "custom_objects", "on_lost_mask", "outputs"}
    given = [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name not in own
        and context.get_parameter_source(str(parameter.name)) is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} is for ONNX files; {output} is a script")


def _export_script(
    source: Source, output: Path, batch: int | None, input_shapes: tuple[str, ...], as_json: bool, options: Any
) -> None:
    from kir.importers.script import split_name

    path, _ = split_name(source.name)
    if path.exists() and output.exists() and output.samefile(path):
        raise click.UsageError(f"{output} is the script that would be read; write to another file")
    if not source.is_onnx and (batch or input_shapes):
        raise click.UsageError(
            f"--batch and --input-shapes are for ONNX files; give the sizes in {source.name}, or when {output} is read"
        )
    with _progress() as progress:
        progress("reading the model")
        subject = source.read(batch, input_shapes)
        from kir.exporters.script import export_script

        original = Path(source.name) if source.is_onnx and not (batch or input_shapes) else None
        report = export_script(
            subject,
            output,
            source=original,
            verify=options["verify"],
            provider=options["provider"],
            seed=options["seed"],
            progress=progress,
        )
    if as_json:
        _print_json(report.to_json())
    else:
        _print_script(report)


@cli.command()
@source_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--training", is_flag=True, help="MODEL was exported with --training.")
@click.option("--losses", is_flag=True, help="MODEL was exported with --losses.")
@batch_option
@shapes_option
@click.option("--bisect", is_flag=True, help="On a mismatch, name the first node, and its layer, that differs.")
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page with the error of every node.",
)
@provider_option
@seed_option
@json_option
def verify(
    source: Source,
    file: Path,
    training: bool,
    losses: bool,
    batch: int | None,
    input_shapes: tuple[str, ...],
    bisect: bool,
    page: Path | None,
    provider: str,
    seed: int,
    as_json: bool,
) -> None:
    """Compare MODEL with an ONNX FILE on random inputs.

    MODEL is a script, a Keras file or another ONNX file. Exit code 1 if they differ.
    """
    from kir.exporters.onnx_file import verify as verification

    if page is not None:
        _require_suffix(page, ".html")
    with _progress() as progress:
        progress("reading the model")
        if source.is_onnx:
            if page is not None:
                raise click.UsageError("--report compares node by node with a model, and MODEL is an ONNX file")
            layers_only = {"--training": training, "--losses": losses, "--batch": batch, "--input-shapes": input_shapes}
            source.refuse({**layers_only, "--bisect": bisect})
            report = verification.verify_onnx_files(Path(source.name), file, provider=provider, seed=seed)
        else:
            from kir import passes
            from kir.modeling.lower import lower

            model = source.load()
            sizes = _parse_sizes(model, batch, input_shapes)
            reference = lower(model, training=training, sizes=sizes, losses=losses)
            progress("verifying")
            report = verification.verify_file(reference, file, provider=provider, seed=seed)
            if page is not None or (bisect and not report.passed):
                graph = reference.copy()
                passes.run(graph, passes.pipeline(2, training))
            if page is not None:
                from kir.exporters.picture.errors import save_error_page

                progress("measuring every node")
                save_error_page(page, graph, verification.node_errors(graph, file, provider=provider, seed=seed))
            if bisect and not report.passed:
                progress("bisecting")
                report = report.with_divergence(verification.bisect(graph, file, provider=provider, seed=seed))
    if as_json:
        _print_json(report.to_json())
    else:
        _print_verification(report)
    if not report.passed:
        sys.exit(1)


@cli.command()
@source_options
@click.option("--ops", is_flag=True, help="Print the graph of operators instead of the layers.")
@click.option(
    "-O", "level", type=click.IntRange(0, 2), default=0, show_default=True, help="Passes to run before --ops."
)
@keep_option
@json_option
def summary(
    source: Source,
    ops: bool,
    level: int,
    keep_unknown: bool,
    as_json: bool,
) -> None:
    """Print MODEL's layers, or its graph."""
    source.refuse_for_layers(keep_unknown)
    with _progress() as progress:
        progress("reading the model")
        subject = source.read(keep_unknown=keep_unknown)
        from kir.modeling.model import Model
        from kir.modeling.summary import print_summary, summarize

        graph = _graph_to_print(subject, level) if ops else None
    if graph is not None:
        _print_json({"graph": str(graph).splitlines()}) if as_json else print(graph)
    elif not isinstance(subject, Model):
        raise click.UsageError(f"{source.name} has no layers; print its graph (--ops), or see kir inspect")
    elif as_json:
        _print_json(summarize(subject).to_json())
    else:
        print_summary(subject)


@cli.command()
@source_options
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A .svg, .png, .html, .dot or .mmd."
)
@click.option(
    "--view", type=click.Choice(["layers", "ops"]), help="Layers, or the graph of operators.  [default: layers]"
)
@click.option("-O", "level", type=click.IntRange(0, 2), help="Passes to run on operators.  [default: 2; 0 for .onnx]")
@click.option("--passes", metavar="a,b,-c", help="Choose passes by name, or leave some out; see kir passes.")
@click.option("--before-after", is_flag=True, help="Operators before and after the passes, side by side.")
@click.option("--direction", type=click.Choice(["TB", "LR"]), default="TB", show_default=True)
@click.option(
    "--show", default="types,attributes,weights", show_default=True, help="What boxes and links say, or none."
)
@click.option("--expand-nested", is_flag=True, help="Draw the layers of nested models inside their boxes.")
@keep_option
@json_option
def plot(
    source: Source,
    output: Path,
    view: str | None,
    level: int | None,
    passes: str | None,
    before_after: bool,
    direction: str,
    show: str,
    expand_nested: bool,
    keep_unknown: bool,
    as_json: bool,
) -> None:
    """Draw MODEL as a picture or as a page.

    The page (.html) is for exploring the model and what each pass does.
    """
    _require_suffix(output, ".svg", ".png", ".html", ".dot", ".mmd")
    source.refuse_for_layers(keep_unknown)
    with _progress() as progress:
        progress("reading the model")
        subject = source.read(keep_unknown=keep_unknown)
        from kir.exporters.picture import Picture

        progress("drawing")
        picture = Picture(subject, view, level, passes, before_after, direction, show, expand_nested)
        report = picture.save(output)
    if as_json:
        _print_json(report.to_json())
    else:
        size = f", {report.zoom:.2g} pixels to one of the drawing" if report.zoom is not None else ""
        tabs = f", tabs {', '.join(report.stages)}" if report.stages else ""
        print(f"{report.path}: {report.boxes} boxes, {report.links} links{size}{tabs}")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Say what is in an ONNX FILE.

    Its inputs, outputs, operators, weights and metadata; the model is not run.
    """
    from kir.exporters.onnx_file.inspect import inspect_file, print_inspection

    inspection = inspect_file(file)
    if as_json:
        _print_json(inspection.to_json())
    else:
        print_inspection(inspection)


@cli.command()
@source_pair_options
@click.option("-O", "level", type=click.IntRange(0, 2), help="Passes to run on both first.  [default: see above]")
@click.option("--training", is_flag=True, help="Keep Dropout in models of layers, as in a file exported so.")
@click.option("--losses", is_flag=True, help="Add the regularization terms as an output of models of layers, likewise.")
@batch_option
@shapes_option
@click.option("--run/--no-run", default=True, show_default=True, help="Compare what both compute.")
@click.option("--all", "everything", is_flag=True, help="Show every difference; long lists are cut otherwise.")
@seed_option
@json_option
def diff(
    a: Source,
    b: Source,
    level: int | None,
    training: bool,
    losses: bool,
    batch: int | None,
    input_shapes: tuple[str, ...],
    run: bool,
    everything: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Say what differs between two models, A and B.

    Each is a script, a Keras file or an ONNX file. Their signatures, structure, weights, and the numbers that they
    compute from the same random inputs are compared. Exit code 1 if anything differs.

    Operators are compared, so a model of layers is lowered first. If one side has layers and the other is an ONNX file,
    the passes of -O2 run on both before: kir export ran them when it wrote the file, and what it wrote has then no
    differences. Otherwise no passes run, so that nothing is hidden.

    Names of layers and sizes are no differences; layers that are called otherwise are listed. The numbers are those of
    kir's interpreter; kir verify runs a file in onnxruntime.
    """

    def read(source: Source) -> tuple[Model | Graph, Graph]:
        subject = source.read(batch, input_shapes, keep_unknown=True)
        from kir.modeling.lower import lower
        from kir.modeling.model import Model

        if not isinstance(subject, Model):
            return subject, subject
        sizes = _parse_sizes(subject, batch, input_shapes)
        return subject, lower(subject, training=training, sizes=sizes, losses=losses)

    with _progress() as progress:
        # A is lowered before B is read: functions of scripts may import modules from beside them when they are traced.
        progress("reading A")
        subject_a, graph_a = read(a)
        progress("reading B")
        subject_b, graph_b = read(b)
        from kir.comparison import compare_graphs, default_level

        comparison = compare_graphs(
            graph_a,
            graph_b,
            level=default_level(subject_a, subject_b) if level is None else level,
            training=training,
            metadata=a.is_onnx and b.is_onnx,
            run=run,
            seed=seed,
            progress=progress,
        )
    if as_json:
        _print_json({"a": a.name, "b": b.name, **comparison.to_json()})
    else:
        from kir.comparison.text import print_comparison

        print_comparison(comparison, (a.name, b.name), everything)
    if not comparison.same:
        sys.exit(1)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, metavar="[INPUTS.npz | NAME=ARRAY.npy]...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the outputs as .npz, or one as .npy.")
@provider_option
@json_option
def run(file: Path, inputs: tuple[str, ...], output: Path | None, provider: str, as_json: bool) -> None:
    """Run an ONNX FILE in onnxruntime on .npz or .npy arrays."""
    from kir.exporters.onnx_file.session import make_session, run_session
    from kir.importers.arrays import read_arrays
    from kir.modeling.summary import describe_array

    if output is not None:
        _require_suffix(output, ".npz", ".npy")
    session = make_session(file, provider)
    results = run_session(session, read_arrays(inputs, [entry.name for entry in session.get_inputs()]))
    if output is not None:
        from kir.exporters.arrays import write_arrays

        write_arrays(output, results)
    described = {name: describe_array(array) for name, array in results.items()}
    if as_json:
        _print_json({"outputs": described, "written": None if output is None else str(output)})
    else:
        for name, facts in described.items():
            print(f"{name}: " + "  ".join(f"{key} {value}" for key, value in facts.items()))


@cli.command()
@json_option
def passes(as_json: bool) -> None:
    """List the passes, in the order in which they run."""
    from kir import passes as all_passes

    rows: list[dict[str, Any]] = [
        {"name": p.name, "level": 1 if p.exact else 2, "exact": p.exact, "summary": p.summary}
        for p in all_passes.PASSES
    ]
    if as_json:
        _print_json(rows)
    else:
        _print_table(("Pass", "Level", "What it does"), [(r["name"], f"-O{r['level']}", r["summary"]) for r in rows])


@cli.command()
@json_option
def ops(as_json: bool) -> None:
    """List the operators of the graph, and whether they export."""
    from kir.exporters.onnx_file.ops import supported_ops
    from kir.ir.op import field_names, input_names
    from kir.ops import group_by_op

    exported = supported_ops()
    rows: list[dict[str, Any]] = [
        {
            "name": cls.__name__,
            "group": group,
            "inputs": list(input_names(cls)),
            "attributes": list(field_names(cls)),
            "exports": cls in exported,
            "summary": (cls.__doc__ or "").strip().splitlines()[0],
        }
        for cls, group in sorted(group_by_op().items(), key=lambda item: item[0].__name__)
    ]
    if as_json:
        _print_json(rows)
    else:
        heading = ("Operator", "Group", "Inputs", "Attributes", "What it computes")
        _print_table(
            heading,
            [(r["name"], r["group"], ", ".join(r["inputs"]), ", ".join(r["attributes"]), r["summary"]) for r in rows],
        )


# Running


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line in this process and exits with its code; the program is `kir.support.program.main`."""
    sys.exit(run_arguments(list(sys.argv[1:] if arguments is None else arguments)))


def run_arguments(arguments: list[str]) -> int:
    """Runs a command, says what goes wrong, and returns the exit code."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.showwarning = _show_warning
    return _run(arguments)


def _run(arguments: list[str]) -> int:
    debug, as_json = "--debug" in arguments, "--json" in arguments
    try:
        code = _run_command(arguments, as_json)
        _require_whole_files()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _report_interrupt()
    except Exception as error:
        return _report_interrupt() if _is_interrupt(error) else _report(_cause(error), debug, as_json)


def _run_command(arguments: list[str], as_json: bool) -> int:
    """Runs a command and returns its exit code.

    Raises:
        Exception: whatever it raises, but for click's own exceptions.
    """
    try:
        cli.main(args=arguments, prog_name="kir", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        if as_json:
            _print_error(error.format_message(), error, error.exit_code)
        return error.exit_code
    except click.Abort:
        return _report_interrupt()
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1
    return 0


def _require_whole_files() -> None:
    """Raises FormatError if a file was cut short while it was read, whatever came of that."""
    if "kir.support.mapped_files" in sys.modules:
        from kir.support.mapped_files import require_unchanged

        require_unchanged([])


def _cause(error: Exception) -> Exception:
    """What is to be said of an error: that a file was cut short while it was read, if one was."""
    try:
        _require_whole_files()
    except Exception as cause:
        return cause
    return error


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _report_interrupt() -> int:
    _say("interrupted")
    return EXIT_INTERRUPTED


def _is_interrupt(error: Exception) -> bool:
    """Whether an interrupt was turned into this error, as modules in C do that import others."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    return interrupts.raised and any(isinstance(one, ImportError | SystemError | KeyboardInterrupt) for one in causes)


def _report(error: Exception, debug: bool, as_json: bool) -> int:
    """Says what went wrong, once, and gives the exit code."""
    from kir.errors import KirError

    absent = isinstance(error, ModuleNotFoundError) and not (error.name or "kir").startswith("kir")
    # A file that the operating system refuses, such as a name that is too long.
    refused = isinstance(error, OSError) and error.filename is not None
    expected = absent or refused or isinstance(error, KirError | MemoryError)
    if debug or not expected:
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    message = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        message = f"out of memory: {message}; --no-verify needs least"
    elif isinstance(error, OSError) and refused:
        message = f"cannot use {error.filename}: {error.strerror}"
    elif absent:
        message = f"{message}, which kir needs; install kir with its dependencies"
    code = error.exit_code if isinstance(error, KirError) else 2 if expected else EXIT_BUG
    prefix = "error" if expected else "bug in kir"
    _say(f"{prefix}: {message}")
    for note in getattr(error, "__notes__", []):
        _say(f"  {note}")
    if not expected:
        _say(BUG_ADDRESS)
    if as_json:
        _print_error(message, error, code)
    return code


def _print_error(message: str, error: Exception, code: int) -> None:
    _print_json({"error": message, "kind": type(error).__name__, "exit_code": code})


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(f"warning: {message}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A function that shows the stage under way on standard error, when that is a terminal.

    While open, everything that is printed goes there: functions of the model's author print when they are traced.
    """
    with contextlib.redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield lambda stage: None
            return
        from rich.console import Console

        with Console(stderr=True).status("") as status:
            yield lambda stage: status.update(f"{stage} …")


# Reading arguments


def _parse_sizes(model: Model, batch: int | None, input_shapes: tuple[str, ...]) -> dict[str, Dim]:
    """Values for the symbolic sizes, by name, from --batch and --input-shapes."""
    from kir.modeling.lower import bind_input_shapes

    bound = bind_input_shapes(model, _parse_shapes(input_shapes))
    if batch is not None:
        _fix_batch(model, batch, bound)
    return bound


def _parse_size(size: str, text: str) -> Dim:
    """A number, or a name for an unknown size; a computed size would be no input's."""
    from kir.errors import InvalidArgumentError
    from kir.ir.dims import Sym, parse_dim

    parsed = parse_dim(size)
    if parsed.name is None if isinstance(parsed, Sym) else not 0 <= parsed <= MAX_INT64:
        raise InvalidArgumentError(
            f"--input-shapes expects sizes from 0 to {MAX_INT64}, or names for unknown ones; received {size!r} in "
            f"{text!r}"
        )
    return parsed


def _fix_batch(model: Model, batch: int, sizes: dict[str, Dim]) -> None:
    """Gives every unknown batch size this value."""
    from kir.errors import InvalidArgumentError
    from kir.ir.dims import Sym
    from kir.ir.types import format_shape

    first_sizes = dict.fromkeys(size for x in model.inputs for size in x.type.shape[:1])
    names = [size.name for size in first_sizes if isinstance(size, Sym) and size.name]
    if not names:
        shapes = ", ".join(format_shape(x.type.shape) for x in model.inputs)
        raise InvalidArgumentError(f"--batch {batch}: no input has an unknown batch size; their shapes are {shapes}")
    for name in names:
        if sizes.setdefault(name, batch) != batch:
            raise InvalidArgumentError(f"--batch {batch} contradicts --input-shapes, which sets it to {sizes[name]}")


def _parse_shapes(input_shapes: tuple[str, ...]) -> dict[str, list[Dim]]:
    """The sizes that --input-shapes gives, by input."""
    from kir.errors import InvalidArgumentError
    from kir.support.naming import decoded

    shapes: dict[str, list[Dim]] = {}
    for text in input_shapes:
        name, colon, sizes = text.rpartition(":")
        if not colon:
            raise InvalidArgumentError(f"--input-shapes expects NAME:1,3,224; received {text!r}")
        name = decoded(name)
        if name in shapes:
            raise InvalidArgumentError(f"--input-shapes gives the shape of {name!r} twice, the second time as {text!r}")
        shapes[name] = [_parse_size(size.strip(), text) for size in sizes.split(",") if size.strip()]
    return shapes


def _parse_metadata(items: tuple[str, ...]) -> dict[str, str]:
    from kir.errors import InvalidArgumentError
    from kir.support.naming import decoded

    metadata: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InvalidArgumentError(f"--metadata expects KEY=VALUE; received {item!r}")
        metadata[decoded(key)] = decoded(value)
    return metadata


def _require_suffix(path: Path, *suffixes: str) -> None:
    """Refuses, before any work is done, a file that cannot be written."""
    from kir.errors import InvalidArgumentError
    from kir.support.files import check_target

    if path.suffix not in suffixes:
        raise InvalidArgumentError(f"cannot write {path}: expected a name that ends in {' or '.join(suffixes)}")
    check_target(path)


def _printer(name: str | None) -> Callable[[Any, Any, int], None] | None:
    """Prints the graph behind the pass of this name."""
    if name is None:
        return None
    from kir.errors import InvalidArgumentError
    from kir.passes import PASSES

    names = [p.name for p in PASSES]
    if name not in names:
        raise InvalidArgumentError(f"there is no pass {name!r}; kir passes lists them: {', '.join(names)}")

    def print_graph(run: Any, graph: Any, changes: int) -> None:
        if run.name == name:
            _say(f"after {name} ({changes} changes):\n{graph}")

    return print_graph


# Printing results


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=True, default=str))


def _export_json(result: ExportResult) -> dict[str, Any]:
    file = result.file
    return {
        "file": str(file.path),
        "data": None if file.data_path is None else str(file.data_path),
        "opset": file.opset,
        "nodes": file.node_count,
        "bytes": file.size_bytes,
        "inputs": {node.op.label: str(node.op.type) for node in result.graph.inputs},  # type: ignore[attr-defined]
        "outputs": {node.op.label: str(node.output.type) for node in result.graph.outputs},  # type: ignore[attr-defined]
        "passes": {name: count for name, count in result.changes.items() if count},
        "verification": None if result.verification is None else result.verification.to_json(),
        "source_verification": None if result.source is None else result.source.to_json(),
    }


def _graph_to_print(subject: Model | Graph, level: int) -> Graph:
    from kir import passes
    from kir.modeling.model import Model

    graph = subject.to_graph() if isinstance(subject, Model) else subject
    passes.run(graph, passes.pipeline(level))
    return graph


def _print_export(result: ExportResult) -> None:
    from kir.modeling.summary import format_bytes

    document = _export_json(result)
    data = f", data in {document['data']}" if document["data"] else ""
    print(
        f"{document['file']}: {document['nodes']} nodes, opset {document['opset']}, "
        f"{format_bytes(document['bytes'])}{data}"
    )
    for role in ("inputs", "outputs"):
        for name, type in document[role].items():
            print(f"  {role[:-1]:<7} {name}: {type}")
    changed = ", ".join(f"{name} {count}" for name, count in document["passes"].items())
    print(f"  passes  {changed or 'nothing to change'}")
    if result.verification is None:
        print("not verified")
    else:
        _print_verification(result.verification)
    if result.source is not None:
        print(f"the file that was read computes the same, in {result.source.runs} runs")


def _print_script(report: ScriptReport) -> None:
    from kir.modeling.summary import format_bytes

    weights = f", weights in {report.weights_path}" if report.weights_path else ""
    print(f"{report.path}: {report.lines} lines, {format_bytes(report.size_bytes)}{weights}")
    if report.verification is None:
        print("not verified")
        return
    same = "the same ONNX file, byte for byte" if report.same_bytes else "an ONNX file that computes the same"
    print(f"the script was run, and exports to {same}")
    _print_verification(report.verification)
    if report.source is not None:
        print(f"the file that was read computes the same, in {report.source.runs} runs")


def _print_verification(report: VerificationReport) -> None:
    verdict = "verified" if report.passed else "MISMATCH"
    print(f"{verdict} in onnxruntime ({report.provider}), {report.runs} runs of random inputs, seed {report.seed}")
    print(f"allowed error: {report.method}")
    print(str(report))


def _print_table(headings: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*[escape(str(cell)) for cell in row])
    Console().print(table)
