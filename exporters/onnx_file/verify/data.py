"""The user's own data: does the file compute from them what the model means, and the user's framework as well?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.exporters.onnx_file.verify.rows import DataProbe, UserData, as_kind, convert, shown_type
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
    """Compares the file and what the user expects with the reference, on the user's rows; a `Part`."""

    def __init__(self, data: UserData, outputs: Mapping[str, TensorType]) -> None:
        """Take the expected ones of all outputs.

        Raises:
            InvalidArgumentError: one has an unknown name.
        """
        self._data = data
        self._types = outputs
        listed = ", ".join(f"{name}: {type}" for name, type in outputs.items())
        expected = data.expected
        self._expected = {} if expected is None else expected.given_for(list(outputs), list(outputs), listed)
        self._worst = {"file": 0.0, "expected": 0.0}
        self._wrong: dict[tuple[str, str], list[_Wrong]] = {}
        self._pieces = self._rows = 0
        self._conversions: tuple[str, ...] = ()

    def add(self, run: Run) -> None:
        probe = run.probe
        if not isinstance(probe, DataProbe):
            return
        self._pieces += 1
        self._rows = probe.feeding.rows
        self._conversions = probe.feeding.conversions
        for name, one in run.expected.items():
            self._note("file", name, one, run.outputs[name], run.outputs[name], probe)
            if name in self._expected:
                given = self._rows_of(name, one.reference, probe)
                stored = self._expected[name].dtype
                self._note("expected", name, for_witness(one, stored), given, run.outputs[name], probe)

    def statement(self) -> Statement:
        conversions = f" ({', '.join(self._conversions)})" if self._conversions else ""
        covered = (
            f"{counted(self._rows, 'row')} of {self._data.inputs.label} in {counted(self._pieces, 'run')}"
            f"{conversions}: largest error of the file {self._worst['file']:.2g} of the allowed one"
        )
        if self._data.expected is not None:
            outputs = "" if len(self._expected) == len(self._types) else f" ({', '.join(self._expected)})"
            worst = f"{self._worst['expected']:.2g}"
            covered += f"; of {self._data.expected.label}{outputs} {worst}, where twice as much is allowed"
        return Statement("data", covered, tuple(self._findings()))

    def _note(self, side: str, name: str, expected: Expected, found: Array, file: Array, probe: DataProbe) -> None:
        if found.shape != expected.reference.shape:
            if np.isfinite(expected.allowed).all():
                text = f"shape {format_shape(found.shape)}, expected {format_shape(expected.reference.shape)}"
                self._wrong.setdefault((side, name), []).append(_Wrong(np.array([probe.start]), text, np.inf, 0.0))
            return
        errors = errors_of(replace(expected, unmoved=None), found)
        if not (errors <= expected.allowed).all():
            expected = expected.whole()
            errors = errors_of(expected, found)
        ratios = ratios_of(errors, expected.allowed)
        self._worst[side] = max(self._worst[side], float(ratios.max(initial=0)))
        wrong = ~(errors <= expected.allowed)
        if wrong.any():
            place = np.unravel_index(int(ratios.argmax()), ratios.shape)
            rows = np.unique(np.nonzero(wrong)[0]) + probe.start if wrong.ndim else np.array([probe.start])
            shown = ", ".join(map(str, (place[0] + probe.start, *place[1:]) if place else ()))
            text = f"worst at [{shown}]: {found[place]}; the float64 reference has {expected.reference[place]}"
            text += f", the file {file[place]}" if side == "expected" else ""
            self._wrong.setdefault((side, name), []).append(
                _Wrong(rows, text, float(errors[place]), float(expected.allowed[place]))
            )

    def _rows_of(self, name: str, reference: Array, probe: DataProbe) -> Array:
        """Return what is expected of an output for the rows of a probe, in the dtype of the output.

        Raises:
            ShapeError: there are too few or too many of them.
            InvalidArgumentError: see `convert`.
        """
        assert self._data.expected is not None
        array, label = self._expected[name], self._data.expected.label
        is_whole = probe.rows == probe.feeding.rows
        if not is_whole and (not array.ndim or len(array) != probe.feeding.rows):
            raise ShapeError(
                f"{label}: {name!r} is {shown_type(array)}; expected one row for each of the "
                f"{probe.feeding.rows} of {self._data.inputs.label}, which run in pieces"
            )
        piece = array if is_whole else array[probe.start : probe.start + probe.rows]
        if piece.ndim and reference.ndim and len(piece) != len(reference):
            raise ShapeError(
                f"{label}: {name!r} has {counted(len(piece), 'row')}; expected {len(reference)}, as the model gives "
                f"for the {counted(probe.feeding.rows, 'row')} of {self._data.inputs.label}"
            )
        return convert(piece, self._types[name].dtype, f"{label}: {name!r}", probe.start)

    def _findings(self) -> Iterator[Finding]:
        for (side, name), pieces in self._wrong.items():
            worst = max(pieces, key=lambda one: one.error)
            rows = np.unique(np.concatenate([one.rows for one in pieces]))
            shown = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", …" if len(rows) > SHOWN_ROWS else "")
            assert side == "file" or self._data.expected is not None
            who = "the file" if side == "file" else self._data.expected.label  # type: ignore[union-attr]
            text = f"{who} differs in {counted(len(rows), 'row')} ({shown}); {worst.text}"
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
