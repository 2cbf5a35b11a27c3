"""A comparison with the installed Keras: does it compute from the model what kir takes the model to mean?

This is the one check of what a *layer* means that does not share kir's own reading of it. Keras runs in a process of
its own (`keras_child`), so that neither it nor its backend is imported in kir's, and what it dies of is an error.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from kir.errors import KirError, UnsupportedError
from kir.exporters.keras_file import save_model
from kir.exporters.onnx_file.verify.data import TWO_EXECUTIONS
from kir.exporters.onnx_file.verify.keras_process import Keras, KerasFile, one_line
from kir.exporters.onnx_file.verify.rows import as_kind, convert
from kir.exporters.onnx_file.verify.subject import RunCount
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT
from kir.ir.types import DType
from kir.modeling.input import InputLayer
from kir.modeling.model import Model
from kir.numerics.compare import Run, RunComparison, compare
from kir.numerics.inputs import shape_of_feeds
from kir.numerics.report import Finding, OutputReport, Statement
from kir.numerics.rounding_sizes import epsilon
from kir.support.text import counted

# Some backends compute float64 in float32, in whole (jax) or in some layers; the roundings of that are so much larger,
# and what only moves elements, which is exact in one precision, rounds them too. That agrees so far is no pass.
FLOAT32_ROUNDINGS = 4 * epsilon(np.dtype(np.float32)) / epsilon(np.dtype(np.float64))


@contextmanager
def keras_part(model: Model, source: object, is_as_read: bool, code: Path | None) -> Iterator[KerasPart]:
    """Give the part that compares with Keras, which loads the model meanwhile; it ends with the context.

    | model                                        | what Keras loads            |
    |----------------------------------------------|-----------------------------|
    | of a `.keras` or `.h5` file                  | that file                   |
    | of Keras itself, live or of a script         | what Keras saves of it      |
    | of kir's layers, or changed when it was read | a file that kir writes      |

    Args:
        model: what kir exports.
        source: what it was read from.
        is_as_read: whether nothing was changed then, such as weights.
        code: a script of the user's own classes and functions; by default the one that the model is of.
    """
    if code is None and model.loaded_from.kind == "script":
        code = model.loaded_from.file
    with tempfile.TemporaryDirectory(prefix="kir-keras-", ignore_cleanup_errors=True) as folder:
        try:
            file = _file_for_keras(model, source, is_as_read, code, Path(folder))
        except UnsupportedError as error:
            yield KerasPart(model, None, str(error))
            return
        keras = Keras(file)
        try:
            yield KerasPart(model, keras, file.label)
        finally:
            keras.close()


def _file_for_keras(model: Model, source: object, is_as_read: bool, code: Path | None, folder: Path) -> KerasFile:
    """Return what Keras is to load; files are written to the folder.

    Raises:
        UnsupportedError: the model cannot be written.
    """
    is_path = isinstance(source, str | os.PathLike)
    label = str(source) if is_path else model.name
    if is_as_read and is_path and Path(str(source)).suffix in (".keras", ".h5", ".hdf5"):
        # What Keras 2 wrote means what it meant to Keras 2.
        package = "keras" if model.loaded_from.producer.startswith("Keras 3") else "tf_keras"
        return KerasFile(Path(str(source)).absolute(), label, package, code)
    written, live = folder / "model.keras", model.of_keras if is_as_read else None
    if live is None:
        save_model(model, written)
        return KerasFile(written, f"{label} as kir saves it", code=code)
    try:
        live.save(written)
    except Exception as error:
        raise UnsupportedError(f"Keras cannot save {label}: {one_line(str(error))}") from error
    return KerasFile(written, f"{label} as Keras saves it", _package_of(live), code, is_trusted=True)


def _package_of(live: object) -> str:
    packages = [cls.__module__.partition(".")[0] for cls in type(live).__mro__]
    return "tf_keras" if "tf_keras" in packages else "keras"


class KerasPart:
    """Compares Keras with the reference on the probes; a `Part`."""

    def __init__(self, model: Model, keras: Keras | None, label: str) -> None:
        """Take what kir exports, and Keras, which loads what the label says; or why there is nothing to load."""
        self._model, self._keras, self._label = model, keras, label
        self._comparison, self._runs = RunComparison(), RunCount()
        self._failed: list[Finding] = []
        self._narrow: dict[str, None] = {}  # outputs of float64 that Keras computes in float32
        self._skipped = 0

    def add(self, run: Run) -> None:
        if self._keras is None or "error" in self._keras.about():
            return
        arrays = arrays_for_keras(self._model, run.feeds)
        if arrays is None:
            self._skipped += 1
            return
        outputs = self._keras.run(arrays)
        if isinstance(outputs, str):
            self._failed.append(Finding(f"Keras fails on {shape_of_feeds(run.feeds)}: {one_line(outputs)}"))
            return
        names = self._model.output_names
        if len(outputs) != len(names):
            self._failed.append(Finding(f"Keras gives {counted(len(outputs), 'output')}; expected {', '.join(names)}"))
            return
        expected, actual = {}, {}
        for name, output in zip(names, outputs, strict=True):
            one, dtype = run.expected[name].times(TWO_EXECUTIONS), as_kind(run.outputs[name].dtype)
            array = _as(output, dtype)
            if dtype is DType.FLOAT64 and not compare(name, one, array).passed:
                one = one.times(FLOAT32_ROUNDINGS)
                self._narrow |= {name: None} if compare(name, one, array).passed else {}
            expected[name], actual[name] = one, array
        self._comparison.add(expected, actual)
        self._runs.add(run.probe)

    def statement(self) -> Statement:
        if self._keras is None:
            return Statement("keras", not_run=self._label)
        about = self._keras.about()
        of = f"Keras {about['version']} with {about['backend']} on Python {about['python']}"
        if "error" in about:
            return Statement("keras", not_run=f"{of} cannot load {self._label}: {one_line(about['error'])}")
        reports = self._comparison.reports()
        covered = f"{of}, {self._label}, on {self._runs}"
        if reports:
            worst = max(report.ratio for report in reports)
            covered += f": largest error {worst:.2g} of the allowed one, which is twice that of the file"
        if self._failed and reports:
            covered += f"; {counted(len(self._failed), 'probe')} left out: {self._failed[0]}"
        if self._skipped:
            covered += f"; {counted(self._skipped, 'probe')} left out, whose states Keras cannot be given"
        problems = tuple([_problem(report) for report in reports if not report.passed])
        narrow = [
            Finding("Keras computes it in float32, and agrees as far as that goes", tensor=n) for n in self._narrow
        ]
        # What Keras refuses says nothing of a model that it takes otherwise.
        return Statement("keras", covered, problems, (*([] if reports else self._failed), *narrow))


def arrays_for_keras(model: Model, feeds: Mapping[str, Array]) -> list[Array] | None:
    """Return what Keras takes for the inputs of a model, in their order; None if it cannot be given all that is fed.

    A sparse input becomes a dense array. The states of stateful layers are no inputs of Keras.
    """
    rest, arrays = dict(feeds), []
    rest.pop(TRAINING_INPUT, None)
    for name, symbolic in zip(model.input_names, model.inputs, strict=True):
        layer = symbolic.call.layer
        if isinstance(layer, InputLayer) and layer.sparse:
            indices, values, shape = (rest.pop(f"{name}.{part}") for part in ("indices", "values", "shape"))
            dense = np.zeros(tuple(shape.tolist()), values.dtype)
            dense[tuple(indices.T)] = values
            arrays.append(dense)
        elif name in rest:
            arrays.append(rest.pop(name))
        else:
            return None
    return None if rest else arrays


def _problem(report: OutputReport) -> Finding:
    place = f", worst at {list(report.element)}" if report.element else ""
    return Finding(
        f"Keras computes something else {report.problem}{place}", "", "", report.name, report.error, report.allowed
    )


def _as(array: Array, dtype: DType | None) -> Array:
    """Return an output of Keras in the dtype of that of the file, or as it is, if numbers would change."""
    with suppress(KirError):
        return array if dtype is None else convert(array, dtype, "")
    return array
