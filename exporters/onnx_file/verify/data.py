"""The user's own data: does the file compute from them what the model means, and the user's framework as well?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.exporters.onnx_file.verify.rows import DataProbe, NamedArrays, UserData, as_kind, convert, shown_type
from kir.ir.op import Array
from kir.ir.types import FLOATS, TensorType, format_shape
from kir.numerics.compare import Run, errors_of, ratios_of
from kir.numerics.expected import Expected
from kir.numerics.report import Finding, Statement
from kir.numerics.rounding_sizes import epsilon
from kir.support.text import counted

# Two correct executions, each as far from the reference as is allowed, are twice as far from each other.
TWO_EXECUTIONS = 2.0
SHOWN_ROWS = 5


class DataPart:
    """Compares the file with the reference on the user's rows; a `Part`."""

    def __init__(self, data: UserData) -> None:
        self._label = data.inputs.label
        self._rows = RowErrors("the file")
        self._pieces = self._count = 0
        self._conversions: tuple[str, ...] = ()

    def add(self, run: Run) -> None:
        probe = run.probe
        if not isinstance(probe, DataProbe):
            return
        self._pieces += 1
        self._count, self._conversions = probe.feeding.rows, probe.feeding.conversions
        for name, one in run.expected.items():
            self._rows.add(name, one, run.outputs[name], probe)

    def statement(self) -> Statement:
        conversions = f" ({', '.join(self._conversions)})" if self._conversions else ""
        covered = (
            f"{counted(self._count, 'row')} of {self._label} in {counted(self._pieces, 'run')}{conversions}: "
            f"largest error of the file {self._rows.worst:.2g} of the allowed one"
        )
        return Statement("data", covered, tuple(self._rows.findings()))


class ExpectPart:
    """Compares what the user expects of the user's rows with the reference; a `Part`.

    That differs where the model is not the one that the user's framework ran, or kir takes it to mean something else:
    the file may be right.
    """

    def __init__(self, inputs: str, expected: NamedArrays, outputs: Mapping[str, TensorType]) -> None:
        """Take what is expected of some of the file's outputs, and what messages call the inputs.

        Raises:
            InvalidArgumentError: one has an unknown name.
        """
        listed = ", ".join(f"{name}: {type}" for name, type in outputs.items())
        self._inputs, self._label, self._types = inputs, expected.label, outputs
        self._expected = expected.given_for(list(outputs), list(outputs), listed)
        self._rows = RowErrors(self._label)

    def add(self, run: Run) -> None:
        probe = run.probe
        if not isinstance(probe, DataProbe):
            return
        for name, stored in self._expected.items():
            one = run.expected[name]
            found = self._rows_of(name, one.reference, probe)
            self._rows.add(name, for_witness(one, stored.dtype), found, probe, run.outputs[name])

    def statement(self) -> Statement:
        some = "" if len(self._expected) == len(self._types) else f" ({', '.join(self._expected)})"
        covered = (
            f"{counted(len(self._expected), 'output')} of {self._label}{some} for these rows: largest error "
            f"{self._rows.worst:.2g} of the allowed one, which is twice that of the file"
        )
        return Statement("expect", covered, tuple(self._rows.findings()))

    def _rows_of(self, name: str, reference: Array, probe: DataProbe) -> Array:
        """Return what is expected of an output for the rows of a probe, in the dtype of the output.

        Raises:
            ShapeError: there are too few or too many of them.
            InvalidArgumentError: see `convert`.
        """
        array, label, inputs = self._expected[name], self._label, self._inputs
        is_whole = probe.rows == probe.feeding.rows
        if not is_whole and (not array.ndim or len(array) != probe.feeding.rows):
            raise ShapeError(
                f"{label}: {name!r} is {shown_type(array)}; expected one row for each of the "
                f"{probe.feeding.rows} of {inputs}, which run in pieces"
            )
        piece = array if is_whole else array[probe.start : probe.start + probe.rows]
        if piece.ndim and reference.ndim and len(piece) != len(reference):
            raise ShapeError(
                f"{label}: {name!r} has {counted(len(piece), 'row')}; expected {len(reference)}, as the model gives "
                f"for the {counted(probe.feeding.rows, 'row')} of {inputs}"
            )
        return convert(piece, self._types[name].dtype, f"{label}: {name!r}", probe.start)


class RowErrors:
    """Collects which rows of results, called `who` in messages, are wrong; `worst` is the largest part of a bound."""

    def __init__(self, who: str) -> None:
        self.worst = 0.0
        self._who = who
        self._wrong: dict[str, list[_Wrong]] = {}

    def add(self, name: str, expected: Expected, found: Array, probe: DataProbe, by_file: Array | None = None) -> None:
        """Compare an output for the rows of a probe; `by_file` is what the file computes, if that is another result."""
        if found.shape != expected.reference.shape:
            if np.isfinite(expected.allowed).all():
                text = f"shape {format_shape(found.shape)}, expected {format_shape(expected.reference.shape)}"
                self._wrong.setdefault(name, []).append(_Wrong(np.array([probe.start]), text, np.inf, 0.0))
            return
        errors = errors_of(replace(expected, unmoved=None), found)
        if not (errors <= expected.allowed).all():
            expected = expected.whole()
            errors = errors_of(expected, found)
        ratios = ratios_of(errors, expected.allowed)
        self.worst = max(self.worst, float(ratios.max(initial=0)))
        wrong = ~(errors <= expected.allowed)
        if wrong.any():
            place = np.unravel_index(int(ratios.argmax()), ratios.shape)
            rows = np.unique(np.nonzero(wrong)[0]) + probe.start if wrong.ndim else np.array([probe.start])
            shown = ", ".join(map(str, (place[0] + probe.start, *place[1:]) if place else ()))
            text = f"worst at [{shown}]: {found[place]}; the reference has {expected.reference[place]}"
            text += "" if by_file is None else f", the file {by_file[place]}"
            error, allowed = float(errors[place]), float(expected.allowed[place])
            self._wrong.setdefault(name, []).append(_Wrong(rows, text, error, allowed))

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with each output: the first of its rows, and its worst element."""
        for name, pieces in self._wrong.items():
            worst = max(pieces, key=lambda one: one.error)
            rows = np.unique(np.concatenate([one.rows for one in pieces]))
            shown = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", …" if len(rows) > SHOWN_ROWS else "")
            text = f"{self._who} differs in {counted(len(rows), 'row')} ({shown}); {worst.text}"
            yield Finding(text, tensor=name, error=worst.error, allowed=worst.allowed)


@dataclass(frozen=True)
class _Wrong:
    """Wrong rows of one output in one run, and what to say of the worst."""

    rows: Array
    text: str
    error: float
    allowed: float


def for_witness(expected: Expected, stored: np.dtype[Any]) -> Expected:
    """Return what another correct execution may have computed, and stored in a dtype."""
    more: Array | float = 0.0
    if as_kind(stored) in FLOATS:
        with np.errstate(all="ignore"):
            sizes = np.abs(expected.reference.astype(np.float64))
        more = epsilon(stored) * np.where(np.isfinite(sizes), sizes, 0)
    return expected.times(TWO_EXECUTIONS, more)
