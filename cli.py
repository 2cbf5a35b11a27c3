"""The command line: words in, words out. Results go to standard output, progress and messages to standard error.

Exit codes: 0 fine; 1 the check failed; 2 usage or unreadable input; 3 unsupported; 4 a bug in kir; 130 interrupted.

What a command does is a function of `kir.api`. Only click is imported here: `kir --help` must be instant, so every
command imports what it needs.
"""

from __future__ import annotations

if __name__ == "__main__":
    # python -m kir.cli, or python cli.py: before anything is imported that an interrupt could arrive in.
    from kir.support.program import main as run_program

    run_program()

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from kir import __version__
from kir.errors import UsageError
from kir.support import failures
from kir.support.limits import MAX_INT64
from kir.support.program import import_numpy

if TYPE_CHECKING:
    from kir.ir.graph import Graph
    from kir.passes import Pass

FILE = click.Path()

file_argument = click.argument("file", type=FILE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
provider_option = click.option(
    "--provider", default="cpu", show_default=True, help="onnxruntime's execution provider: cpu, cuda, cuda-tf32, ..."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random inputs."
)
strict_option = click.option(
    "--strict", is_flag=True, help="Fail, too, if the verification could not show all that it should."
)
batch_option = click.option("--batch", type=click.IntRange(1, MAX_INT64), help="Fix the batch size.")
shapes_option = click.option(
    "--input-shapes",
    multiple=True,
    metavar="NAME:1,3,224",
    callback=lambda context, option, texts: _parse_shapes(texts),
    help="Fix an input's sizes, or give those that a subclassed model lacks; text names an unknown size. Repeatable.",
)
objects_option = click.option(
    "--custom-objects",
    type=FILE,
    metavar="FILE.py|MODULE",
    help="A script, which is run, or an installed module, with the functions and layers that a Keras file only names.",
)
data_option = click.option(
    "--data", type=FILE, metavar="IN.npz", help="Verify with arrays of your own, too: .npz by input name, or one .npy."
)
expect_option = click.option(
    "--expect", type=FILE, metavar="OUT.npz", help="What your framework computes from --data, by output name."
)
against_option = click.option(
    "--against",
    type=click.Choice(["keras"]),
    help="Compare with the installed Keras, too, which reads MODEL itself; KERAS_BACKEND chooses its backend.",
)
lost_mask_option = click.option(
    "--on-lost-mask",
    type=click.Choice(["error", "warn"]),
    default=None,
    help="What to do when a mask reaches a layer that cannot carry it.",
)


# Reading arguments


def _parse_shapes(texts: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the sizes of each input, as they were given."""
    if not texts:
        return {}
    from kir.importers.load import split_shapes

    return split_shapes(texts)


def _parse_metadata(texts: tuple[str, ...]) -> dict[str, str]:
    from kir.errors import InvalidArgumentError
    from kir.support.naming import decoded

    metadata: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidArgumentError(f"--metadata expects KEY=VALUE; received {text!r}")
        metadata[decoded(key)] = decoded(value)
    return metadata


def _parse_pass(name: str | None) -> Callable[[Pass, Graph, int], None] | None:
    """Return what prints the graph after the pass of this name, or after those of several with commas."""
    if name is None:
        return None
    from kir.passes import select

    wanted = select(name)

    def print_graph(run: Pass, graph: Graph, changes: int) -> None:
        if run in wanted:
            print(f"after {run.name} ({changes} changes):\n{graph}", file=sys.stderr)

    return print_graph


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how to read a model: the keywords of `kir.load`."""
    for option in (
        click.option(
            "--outputs",
            metavar="LAYER,…",
            callback=lambda context, option, text: () if text is None else tuple(map(str.strip, text.split(","))),
            help="Leave the end of the model off: these layers' outputs are the model's.",
        ),
        lost_mask_option,
        objects_option,
        click.option("--weights", type=FILE, help="Load .weights.h5, .npz or .safetensors first."),
    ):
        command = option(command)
    return command


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument MODEL, and `reading_options`."""
    return click.argument("name", metavar="MODEL")(reading_options(command))


class Command(click.Command):
    """A command, none of which does without NumPy, and whose usage errors are those of kir, too."""

    def invoke(self, context: click.Context) -> None:
        import_numpy()
        try:
            super().invoke(context)
        except UsageError as error:
            raise click.UsageError(str(error), context) from None


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


cli.command_class = Command


@cli.command()
@source_options
@click.option("-o", "--output", required=True, type=FILE, help="The .onnx file to write, or .py script.")
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
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    callback=lambda context, option, texts: _parse_metadata(texts),
    help="Put into the file's metadata. Repeatable.",
)
@click.option(
    "-O", "level", type=click.IntRange(0, 2), default=2, show_default=True, help="0: no passes; 1: exact ones; 2: all."
)
@click.option("--passes", metavar="a,b,-c", help="Choose passes by name, or leave some out; see kir passes.")
@click.option(
    "--print-after",
    "after_pass",
    metavar="PASS",
    callback=lambda context, option, name: _parse_pass(name),
    help="Print the graph after this pass on standard error.",
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Compare with onnxruntime before writing.")
@click.option("--bisect", is_flag=True, help="On a mismatch, name the first node that differs.")
@data_option
@expect_option
@against_option
@click.option("--proof", type=FILE, metavar="PROOF.npz", help="Write a proof, too: kir verify FILE --proof checks it.")
@click.option(
    "--strict",
    is_flag=True,
    help="Fail, too, if an ONNX file's operators would be carried through, or not all could be verified.",
)
@provider_option
@seed_option
@json_option
def export(name: str, output: str, as_json: bool, **options: Any) -> None:
    """Export MODEL as an ONNX file or a script, and verify it.

    The file computes the same as MODEL, or it is not written.
    """
    from kir import api

    # The options are the keywords of `kir.export`, by name.
    with _progress() as progress:
        result = api.export(name, output, **options, progress=progress)
    _print(result.to_json() if as_json else result)


@cli.command()
@reading_options
@click.argument("files", metavar="[MODEL] FILE", nargs=-1, type=FILE)
@click.option("--training", is_flag=True, help="MODEL was exported with --training.")
@click.option("--losses", is_flag=True, help="MODEL was exported with --losses.")
@batch_option
@shapes_option
@click.option("--bisect", is_flag=True, help="On a mismatch, name the first node, and its layer, that differs.")
@click.option(
    "--report",
    type=FILE,
    metavar="FILE.html",
    help="Write a page with the error of every node.",
)
@data_option
@expect_option
@against_option
@click.option("--proof", type=FILE, metavar="PROOF.npz", help="Check FILE with a proof of it, and without MODEL.")
@strict_option
@provider_option
@seed_option
@json_option
@click.pass_context
def verify(context: click.Context, /, files: tuple[str, ...], proof: str | None, as_json: bool, **options: Any) -> None:
    """Verify that an ONNX FILE is MODEL and computes the same.

    MODEL is a script, a Keras file or another ONNX file. Exit code 1 if they differ. The report says
    part by part what is shown, and what is not.

    With --proof, FILE is checked without MODEL: that it is the file of the proof, and what it computes.
    """
    from kir import api

    with _progress() as progress:
        if proof is None:
            model, file = _expect_arguments(files, "MODEL", "FILE")
            report = api.verify(model, file, **options, progress=progress)
        else:
            _refuse_beside_proof(context, options)
            (file,) = _expect_arguments(files, "FILE")
            asked = {name: options[name] for name in ("strict", "provider")}
            report = api.check_proof(file, proof, **asked, progress=progress)
    _print(report.to_json() if as_json else report)
    if not report.passed:
        sys.exit(1)


def _expect_arguments(given: tuple[str, ...], *names: str) -> tuple[str, ...]:
    if len(given) != len(names):
        raise click.UsageError(f"expected {' and '.join(names)}; received {' '.join(given) or 'nothing'}")
    return given


def _refuse_beside_proof(context: click.Context, options: dict[str, Any]) -> None:
    from kir.importers.load import refuse_options

    given = {name: context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in options}
    refuse_options(
        "says something of MODEL, and --proof checks FILE without it", **{**given, "strict": False, "provider": False}
    )


@cli.command()
@source_options
@click.option("--ops", is_flag=True, help="Print the graph of operators instead of the layers.")
@click.option(
    "-O", "level", type=click.IntRange(0, 2), default=0, show_default=True, help="Passes to run before --ops."
)
@json_option
def summary(name: str, ops: bool, level: int, as_json: bool, **reading: Any) -> None:
    """Print MODEL's layers, or its graph."""
    from kir import api
    from kir.modeling.summary import Summary

    with _progress() as progress:
        progress("reading the model")
        result = api.summary(api.load(name, **reading), ops=ops, level=level)
    if isinstance(result, Summary):
        _print(result.to_json()) if as_json else result.print()
    else:
        _print({"graph": str(result).splitlines()} if as_json else result)


@cli.command()
@source_options
@click.option("-o", "--output", required=True, type=FILE, help="A .svg, .png, .html, .dot or .mmd.")
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
@json_option
def plot(
    name: str,
    output: str,
    view: str | None,
    level: int | None,
    passes: str | None,
    before_after: bool,
    direction: str,
    show: str,
    expand_nested: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Draw MODEL as a picture or as a page.

    The page (.html) is for exploring the model and what each pass does.
    """
    from pathlib import Path

    from kir.api import load, require_suffix

    require_suffix(Path(output), ".svg", ".png", ".html", ".dot", ".mmd")
    with _progress() as progress:
        progress("reading the model")
        subject = load(name, **reading)
        from kir.exporters.picture import Picture

        progress("drawing")
        report = Picture(subject, view, level, passes, before_after, direction, show, expand_nested).save(output)
    _print(report.to_json() if as_json else report)


@cli.command()
@file_argument
@json_option
def inspect(file: str, as_json: bool) -> None:
    """Say what is in an ONNX FILE.

    Its inputs, outputs, operators, weights and metadata, and which sizes it takes to be equal; the model is not run.
    """
    from dataclasses import replace
    from pathlib import Path

    from kir.api import assumptions_of
    from kir.exporters.onnx_file.inspect import inspect_file, print_inspection

    inspection = replace(inspect_file(Path(file)), assumptions=assumptions_of(file))
    if as_json:
        _print(inspection.to_json())
    else:
        print_inspection(inspection)


@cli.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--weights-a", type=FILE, help="Load these weights into A first.")
@click.option("--weights-b", type=FILE, help="Load these weights into B first.")
@objects_option
@lost_mask_option
@click.option("-O", "level", type=click.IntRange(0, 2), help="Passes to run on both first.  [default: see above]")
@click.option("--training", is_flag=True, help="Keep Dropout in models of layers, as in a file exported so.")
@click.option("--losses", is_flag=True, help="Add the regularization terms as an output of models of layers, likewise.")
@batch_option
@shapes_option
@click.option("--run/--no-run", default=True, show_default=True, help="Compare what both compute.")
@click.option("--all", "everything", is_flag=True, help="Show every difference; long lists are cut otherwise.")
@seed_option
@json_option
def diff(a: str, b: str, everything: bool, as_json: bool, **options: Any) -> None:
    """Say what differs between two models, A and B.

    Each is a script, a Keras file or an ONNX file. Their signatures, structure, weights, and the numbers that they
    compute from the same random inputs are compared. Exit code 1 if anything differs.

    Operators are compared, so a model of layers is lowered first. If one side has layers and the other is an ONNX file,
    the passes of -O2 run on both before: kir export ran them when it wrote the file, and what it wrote has then no
    differences. Otherwise no passes run, so that nothing is hidden.

    Names of layers and sizes are no differences; layers that are called otherwise are listed. The numbers are those of
    kir's interpreter; kir verify runs a file in onnxruntime.
    """
    from kir import api
    from kir.modeling.comparison.text import print_comparison

    with _progress() as progress:
        comparison = api.diff(a, b, **options, progress=progress)
    if as_json:
        _print({"a": a, "b": b, **comparison.to_json()})
    else:
        print_comparison(comparison, (a, b), everything)
    if not comparison.same:
        sys.exit(1)


@cli.command()
@file_argument
@click.argument("inputs", nargs=-1, metavar="[INPUTS.npz | NAME=ARRAY.npy]...")
@click.option("-o", "--output", type=FILE, help="Write the outputs as .npz, or one as .npy.")
@provider_option
@json_option
def run(file: str, inputs: tuple[str, ...], output: str | None, provider: str, as_json: bool) -> None:
    """Run an ONNX FILE in onnxruntime on .npz or .npy arrays."""
    from pathlib import Path

    from kir.api import require_suffix
    from kir.exporters.onnx_file.session import make_session, run_session
    from kir.importers.arrays import read_arrays
    from kir.modeling.summary import describe_array

    if output is not None:
        require_suffix(Path(output), ".npz", ".npy")
    session = make_session(Path(file), provider)
    results = run_session(session, read_arrays(inputs, [entry.name for entry in session.get_inputs()]))
    if output is not None:
        from kir.exporters.arrays import write_arrays

        write_arrays(Path(output), results)
    described = {name: describe_array(array) for name, array in results.items()}
    if as_json:
        _print({"outputs": described, "written": output})
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
        _print(rows)
    else:
        _print_table(("Pass", "Level", "What it does"), [(r["name"], f"-O{r['level']}", r["summary"]) for r in rows])


@cli.command()
@json_option
def ops(as_json: bool) -> None:
    """List the operators of the graph, and whether they export."""
    from kir.exporters.onnx_file.ops import supported_ops
    from kir.ir.op import field_names, input_names
    from kir.ops import all_ops, group_by_op

    exported, groups = supported_ops(), group_by_op()
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "group": groups[cls],
            "inputs": list(input_names(cls)),
            "attributes": list(field_names(cls)),
            "exports": cls in exported,
            "summary": (cls.__doc__ or "").strip().splitlines()[0],
        }
        for name, cls in all_ops().items()
    ]
    if as_json:
        _print(rows)
    else:
        heading = ("Operator", "Group", "Inputs", "Attributes", "What it computes")
        _print_table(
            heading,
            [(r["name"], r["group"], ", ".join(r["inputs"]), ", ".join(r["attributes"]), r["summary"]) for r in rows],
        )


# Running


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line in this process and exit with its code; `kir.program.main` runs it as a program."""
    sys.exit(run_arguments(list(sys.argv[1:] if arguments is None else arguments)))


def run_arguments(arguments: list[str]) -> int:
    """Run a command, say what goes wrong, and return the exit code."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    warnings.showwarning = failures.show_warning
    return _run(arguments)


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = _run_command(arguments, as_json)
        failures.require_whole_files()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return failures.report_interrupt()
    except Exception as error:
        return failures.report(error, "--debug" in arguments, as_json)


def _run_command(arguments: list[str], as_json: bool) -> int:
    """Run a command and return its exit code.

    Raises:
        Exception: whatever it raises, but for click's own exceptions.
    """
    try:
        cli.main(args=arguments, prog_name="kir", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        if as_json:
            failures.print_error(error.format_message(), error, error.exit_code)
        return error.exit_code
    except click.Abort:
        return failures.report_interrupt()
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the stage under way on standard error, when that is a terminal.

    While open, everything that is printed goes there: functions of the model's author print when they are traced.
    """
    with contextlib.redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield lambda stage: None
            return
        from rich.console import Console

        with Console(stderr=True).status("") as status:
            yield lambda stage: status.update(f"{stage} …")


# Printing


def _print(result: object) -> None:
    """Print a result as its text, or a document as JSON."""
    import json

    is_document = isinstance(result, dict | list)
    print(json.dumps(result, indent=2, allow_nan=True, default=str) if is_document else result)


def _print_table(headings: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        # Names stay whole: one looks for them.
        table.add_column(heading, overflow="fold", no_wrap=heading == headings[0])
    for row in rows:
        table.add_row(*[escape(str(cell)) for cell in row])
    Console().print(table)
