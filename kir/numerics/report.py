"""What verification found: the report of each output, of a divergence, and of all of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from kir.errors import MismatchError
from kir.ir.graph import Node
from kir.support.text import preformatted


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
        part: the name of the part, such as "file" or "operators".
        covered: what was compared, in one sentence with its counts.
        problems: what is wrong; a part passes without any.
        not_shown: what this part should show and could not, which is no mistake and no proof either.
    """

    part: str
    covered: str
    problems: tuple[Finding, ...] = ()
    not_shown: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        findings = {name: [one.to_json() for one in getattr(self, name)] for name in ("problems", "not_shown")}
        return {"part": self.part, "passed": self.passed, "covered": self.covered, **findings}

    def __str__(self) -> str:
        lines = [f"{self.part:<10} {'pass' if self.passed else 'FAIL'}  {self.covered}"]
        lines += [f"  FAIL {problem}" for problem in self.problems]
        return "\n".join([*lines, *[f"  not shown: {one}" for one in self.not_shown]])


@dataclass(frozen=True)
class Divergence:
    """The first node of the graph whose value in the file leaves its bound; `node` is None when there is none."""

    op: str = ""
    layer: str = ""
    tensor: str = ""
    error: float = 0.0
    allowed: float = 0.0
    node: Node | None = None

    def __str__(self) -> str:
        if self.node is None:
            return (
                "every intermediate value of the file is within its bound of the optimised graph; if an output is not, "
                "a pass changed the result (compare with -O0), or onnxruntime does by fusing nodes, which more outputs "
                "prevent"
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
    """The result of a verification. `problems` are failures that belong to no output."""

    outputs: tuple[OutputReport, ...]
    runs: int
    provider: str
    seed: int
    method: str
    fallback: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    divergence: Divergence | None = None
    statements: tuple[Statement, ...] = ()

    @property
    def passed(self) -> bool:
        return (
            not self.problems
            and all(output.passed for output in self.outputs)
            and all(statement.passed for statement in self.statements)
        )

    @property
    def not_shown(self) -> tuple[Finding, ...]:
        """What no part could show."""
        return tuple(finding for statement in self.statements for finding in statement.not_shown)

    def with_divergence(self, divergence: Divergence | None) -> VerificationReport:
        """Return the report with what `bisect` found."""
        return dataclasses.replace(self, divergence=divergence)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; infinities and NaN as text."""
        return {
            "passed": self.passed,
            "provider": self.provider,
            "seed": self.seed,
            "runs": self.runs,
            "method": self.method,
            "outputs": [_output_json(output) for output in self.outputs],
            "fallback": list(self.fallback),
            "problems": list(self.problems),
            "statements": [statement.to_json() for statement in self.statements],
            "divergence": None if self.divergence is None else self.divergence.to_json(),
        }

    def __str__(self) -> str:
        lines = [f"{'output':<24} {'max abs':>9} {'max rel':>9} {'max ulp':>9} {'allowed':>9}  {'element':<12} result"]
        for output in self.outputs:
            numbers = output.max_abs, output.max_rel, output.max_ulp, output.allowed
            element = str(list(output.element))
            result = "pass" if output.passed else f"FAIL {output.problem}".rstrip()
            figures = " ".join(f"{number:>9.2g}" for number in numbers)
            lines.append(f"{output.name:<24} {figures}  {element:<12} {result}")
        lines += [f"FAIL {problem}" for problem in self.problems]
        lines += [str(statement) for statement in self.statements]
        lines += [f"ran on the CPU instead of {self.provider}: {node}" for node in self.fallback]
        return "\n".join(lines if self.divergence is None else [*lines, str(self.divergence)])

    def __repr__(self) -> str:
        worst = max(self.outputs, key=lambda output: output.ratio, default=None)
        error = "" if worst is None else f", worst {worst.name!r} with {worst.ratio:.2g} of the allowed error"
        verdict = "passed" if self.passed else "FAILED"
        return f"<VerificationReport {verdict}: {self.runs} runs in {self.provider}{error}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return preformatted(self.describe())

    def describe(self) -> str:
        """Return the verdict, the method and the table of outputs."""
        verdict = "verified" if self.passed else "MISMATCH"
        return (
            f"{verdict} in onnxruntime ({self.provider}), {self.runs} runs of random inputs, seed {self.seed}\n"
            f"allowed error: {self.method}\n{self}"
        )

    def raise_if_failed(self) -> None:
        """Nothing, if everything passed.

        Raises:
            MismatchError: with the table of outputs.
        """
        if not self.passed:
            hint = "" if self.divergence else "\n--bisect names the first node that differs"
            raise MismatchError(f"onnxruntime ({self.provider}) computes something else than the model:\n{self}{hint}")


def _output_json(output: OutputReport) -> dict[str, Any]:
    numbers = {name: json_number(getattr(output, name)) for name in ("max_abs", "max_rel", "max_ulp", "allowed")}
    return {**dataclasses.asdict(output), **numbers, "ratio": json_number(output.ratio)}


def json_number(number: float) -> float | str:
    """Return a number for JSON, which has no infinities and no NaN: those as text."""
    return number if math.isfinite(number) else str(number)
