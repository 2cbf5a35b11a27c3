"""What verification found: the statement of each part, the errors of each output, and the report of all of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kir.errors import MismatchError, NotShownError
from kir.ir.graph import Node, Value
from kir.support.text import counted

# The parts of a verification, in the order of a report; docs/verification.md explains them.
PARTS = ("file", "passes", "operators", "alone", "outputs", "training", "data", "expect", "keras", "proof")
# Those that compare others with what kir takes the model to mean: if they alone fail, the file is right by kir.
OF_OTHERS = {"expect": "what --expect gives", "keras": "Keras"}


@dataclass(frozen=True)
class OutputReport:
    """The error of one output over all runs.

    All numbers belong to one element, that whose error is the largest part of what is allowed: `max_abs`, `max_rel` and
    `max_ulp` (units in the last place of the output's dtype) are its error, `element` is its index in the run `run`, of
    those whose shapes are in `shapes`.
    """

    name: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    max_abs: float
    max_rel: float
    max_ulp: float
    allowed: float
    passed: bool
    problem: str = ""
    element: tuple[int, ...] = ()
    run: int = 0

    @property
    def error(self) -> float:
        """The absolute error of the worst element."""
        return self.max_abs

    @property
    def wrong(self) -> str:
        """What is wrong with it, in words: "wrong in 2 of 10 elements"."""
        return f"wrong {self.problem}".rstrip()

    @property
    def ratio(self) -> float:
        """The worst error as a part of what is allowed; above 1 fails."""
        return self.error / self.allowed if self.allowed else (0.0 if self.error == 0 else math.inf)


@dataclass(frozen=True)
class Finding:
    """One place of which a part of a verification says something: that it is wrong, or that nothing was shown of it.

    `layer` is the path of the layer, `op` the operator as it prints, `tensor` the name of the value in the file; ""
    where there is none. `error` and `allowed` belong to one element; None where nothing was measured.
    """

    text: str
    layer: str = ""
    op: str = ""
    tensor: str = ""
    error: float | None = None
    allowed: float | None = None

    def __str__(self) -> str:
        of = f" of layer {self.layer}" if self.layer else ""
        where = f"{self.op or self.tensor}{of}" if self.op or self.tensor else of.removeprefix(" of ")
        numbers = "" if self.error is None else f": error {self.error:.3g}, allowed {self.allowed or 0:.3g}"
        return f"{where}: {self.text}{numbers}" if where else f"{self.text}{numbers}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        numbers = {"error": self.error, "allowed": self.allowed}
        return {**dataclasses.asdict(self), **{k: None if v is None else json_number(v) for k, v in numbers.items()}}


@dataclass(frozen=True)
class Statement:
    """What one part of a verification says.

    Attributes:
        part: the name of the part, one of `PARTS`.
        covered: what was compared, in one sentence with its counts.
        problems: what is wrong; a part passes without any.
        not_shown: what this part should show and could not, which is no mistake and no proof either.
        not_run: why the part, which applies, did not run; "" if it did.
        shows_nothing: whether it ran and none of what it compared could have been wrong; `not_shown` says why.
    """

    part: str
    covered: str = ""
    problems: tuple[Finding, ...] = ()
    not_shown: tuple[Finding, ...] = ()
    not_run: str = ""
    shows_nothing: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; a part that did not run says nothing wrong either, see `verdict`."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """ "pass", "FAIL", "not run", or "nothing", where a part shows nothing."""
        if self.problems:
            return "FAIL"
        return "not run" if self.not_run else "nothing" if self.shows_nothing else "pass"

    @property
    def unproved(self) -> tuple[Finding, ...]:
        """What was not shown: all of a part that did not run."""
        return (Finding(f"not run: {self.not_run}"),) if self.not_run else self.not_shown

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        findings = {name: [one.to_json() for one in getattr(self, name)] for name in ("problems", "not_shown")}
        facts = {"part": self.part, "verdict": self.verdict, "covered": self.covered, "not_run": self.not_run}
        return {**facts, **findings}

    def __str__(self) -> str:
        from kir.numerics.report_text import statement_lines

        return "\n".join(statement_lines(self))


@dataclass(frozen=True)
class Divergence:
    """The first node of the graph whose value in the file leaves its bound; `node` is None when there is none."""

    op: str = ""
    layer: str = ""
    tensor: str = ""
    error: float = 0.0
    allowed: float = 0.0
    node: Node | None = None

    @classmethod
    def first_of(cls, measured: Mapping[Value, OutputReport]) -> Divergence:
        """Return the first of the values of a graph, in its order, that leaves its bound."""
        for value, report in measured.items():
            if not report.passed:
                return cls(str(value.node.op), value.node.layer, report.name, report.error, report.allowed, value.node)
        return cls()

    def __str__(self) -> str:
        if self.node is None:
            return (
                "every operator of the file computes what it means on its own inputs; if an output is wrong, a pass "
                "changed the result (compare with -O0), or onnxruntime does by fusing nodes, which more outputs prevent"
            )
        of = f" of layer {self.layer}" if self.layer else ""
        return f"first wrong: {self.op}{of} ({self.tensor}): error {self.error:.3g}, allowed {self.allowed:.3g}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        fields = {"op": self.op, "layer": self.layer, "tensor": self.tensor}
        return {
            "found": self.node is not None,
            **fields,
            "error": json_number(self.error),
            "allowed": json_number(self.allowed),
        }


@dataclass(frozen=True)
class VerificationReport:
    """The result of a verification: what each of its parts says.

    Attributes:
        outputs: the errors of each output, the numbers of the part "outputs".
        runs: how many inputs were fed.
        provider: onnxruntime's execution provider; "interpreter" if that ran instead.
        seed: of inputs and roundings.
        method: how much the outputs may be off by.
        statements: in the order of `PARTS`; that of "outputs" is made from `outputs` unless one is given.
        notes: what a reader must know beside, and what fails nothing, not even with `strict`.
        strict: whether what was not shown fails, too.
        divergence: what `bisected` found, if it was asked.
        measured: how far each value inside the file is off, in the order of the graph; empty if that was not measured.
    """

    outputs: tuple[OutputReport, ...]
    runs: int
    provider: str
    seed: int
    method: str
    statements: tuple[Statement, ...] = ()
    notes: tuple[Finding, ...] = ()
    strict: bool = False
    divergence: Divergence | None = None
    measured: Mapping[Value, OutputReport] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.statements
        if all(one.part != "outputs" for one in given):
            given = (*given, outputs_statement(self.outputs, counted(self.runs, "probe"), self.method))
        order = {part: place for place, part in enumerate(PARTS)}
        object.__setattr__(self, "statements", tuple(sorted(given, key=lambda one: order.get(one.part, len(order)))))

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and with `strict`, nothing is left to show."""
        return not self.problems and not (self.strict and self.not_shown)

    @property
    def shows_nothing(self) -> bool:
        """Whether no part shows anything."""
        return all(one.verdict in ("not run", "nothing") for one in self.statements)

    @property
    def problems(self) -> tuple[tuple[str, Finding], ...]:
        """What is wrong, each with the part that says it."""
        return tuple((one.part, problem) for one in self.statements for problem in one.problems)

    @property
    def not_shown(self) -> tuple[tuple[str, Finding], ...]:
        """What no part could show, each with the part that should."""
        return tuple((one.part, finding) for one in self.statements for finding in one.unproved)

    def adding(self, *statements: Statement) -> VerificationReport:
        """Return the report with more statements."""
        return dataclasses.replace(self, statements=(*self.statements, *statements))

    def bisected(self) -> VerificationReport:
        """Return the report with the first value that leaves its bound, or with a note that none was measured."""
        if not self.measured:
            return dataclasses.replace(self, notes=(*self.notes, Finding("not bisected: no operator was compared")))
        return dataclasses.replace(self, divergence=Divergence.first_of(self.measured))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, with the keys that docs/verification.md explains; infinities and NaN as text."""
        return {
            "passed": self.passed,
            "strict": self.strict,
            "provider": self.provider,
            "seed": self.seed,
            "runs": self.runs,
            "method": self.method,
            "statements": [statement.to_json() for statement in self.statements],
            "outputs": [_output_json(output) for output in self.outputs],
            "not_shown": [{"part": part, **finding.to_json()} for part, finding in self.not_shown],
            "notes": [note.to_json() for note in self.notes],
            "divergence": None if self.divergence is None else self.divergence.to_json(),
        }

    def __str__(self) -> str:
        from kir.numerics.report_text import report_text

        return report_text(self)

    def __repr__(self) -> str:
        worst = max(self.outputs, key=lambda output: output.ratio, default=None)
        error = "" if worst is None else f", worst {worst.name!r} with {worst.ratio:.2g} of the allowed error"
        parts = ", ".join(dict.fromkeys(part for part, _ in self.problems))
        shown = self.passed and not self.shows_nothing
        verdict = "passed" if shown else f"FAILED in {parts}" if parts else "NOT SHOWN"
        left = f", {len(self.not_shown)} not shown" if self.not_shown else ""
        return f"<VerificationReport {verdict}: {self.runs} runs in {self.provider}{error}{left}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from kir.numerics.report_text import report_html

        return report_html(self)

    def raise_if_failed(self) -> None:
        """Nothing, if everything passed.

        Raises:
            MismatchError: something is wrong; the message opens with the first part, layer and operator that is.
            NotShownError: nothing is wrong, but with `strict` something was not shown.
        """
        if self.passed:
            return
        kind = MismatchError if self.problems else NotShownError
        (part, first), *others = self.problems or self.not_shown
        more = f" (and {len(others)} more)" if others else ""
        error = kind(f"{part}: {first}{more}\n{self}")
        error.details = {"verification": self.to_json()}
        raise error


def outputs_statement(
    outputs: Sequence[OutputReport], ran: str, method: str, not_shown: Sequence[Finding] = ()
) -> Statement:
    """Return what the errors of the outputs say; `ran` is on what they were compared."""
    problems = [
        Finding(one.wrong, tensor=one.name, error=one.error, allowed=one.allowed) for one in outputs if not one.passed
    ]
    covered = f"{counted(len(outputs), 'output')} on {ran}, against the {method}"
    return Statement("outputs", covered, tuple(problems), tuple(not_shown))


def _output_json(output: OutputReport) -> dict[str, Any]:
    numbers = {name: json_number(getattr(output, name)) for name in ("max_abs", "max_rel", "max_ulp", "allowed")}
    return {**dataclasses.asdict(output), **numbers, "ratio": json_number(output.ratio)}


def json_number(number: float) -> float | str:
    """Return a number for JSON, which has no infinities and no NaN: those as text."""
    return number if math.isfinite(number) else str(number)
