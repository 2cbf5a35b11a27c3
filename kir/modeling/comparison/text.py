"""A comparison as text: the totals first, then what differs, a line each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kir.modeling.comparison.comparison import Comparison
from kir.modeling.comparison.signature import SignatureChange
from kir.modeling.comparison.structure import OPERATOR, Change, NodeChange, Part, Renaming, count_operators
from kir.modeling.comparison.weights import WeightChange
from kir.numerics.report import OutputReport
from kir.support.text import counted

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20  # lines of each kind, unless all are asked for

STYLES = {"+": "green", "-": "red", "~": "yellow"}


def print_comparison(
    comparison: Comparison, names: tuple[str, str], everything: bool = False, console: Console | None = None
) -> None:
    """Print what differs, in colour on a terminal.

    Args:
        comparison: what to print.
        names: what to call the models.
        everything: all lines, where otherwise long lists are cut, with a count.
        console: where to; standard output by default.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    for line in describe(comparison, names, everything):
        mark = line.strip()[:1]
        style = STYLES.get(mark, "") if line.startswith("  ") else "bold"
        console.print(Text(line, style), soft_wrap=True)


def describe(comparison: Comparison, names: tuple[str, str], everything: bool = False) -> Iterator[str]:
    """Yield the lines of the text."""
    yield _verdict(comparison, names)
    yield f"  signature  {_signature_total(comparison)}"
    yield f"  structure  {_structure_total(comparison)}"
    yield f"  weights    {_weights_total(comparison)}"
    yield f"  numbers    {_numbers_total(comparison)}"
    for name, text in zip(names, comparison.random_weights, strict=True):
        if text:
            yield f"  weights of {name}: {text}"
    shown = None if everything else SHOWN
    structure, weights, report = comparison.structure, comparison.weights, comparison.numbers.report
    yield from _section("signature", [_signature_line(change) for change in comparison.signature.changes], shown)
    parts = [_part_line("-", part) for part in structure.removed] + [_part_line("+", part) for part in structure.added]
    yield from _section("structure", parts + [_node_line(change) for change in structure.changed], shown)
    own = [f"  - {one.name}: {one.type}" for one in weights.removed]
    own += [f"  + {one.name}: {one.type}" for one in weights.added]
    yield from _section("weights", own + [_weight_line(change) for change in weights.changed], shown)
    if report is not None:
        yield "numbers"
        yield f"  compared with the {report.method}"
        yield f"  {'output':<24} {'max abs':>9} {'max rel':>9} {'allowed':>9}  result"
        yield from _cut([_output_line(output) for output in report.outputs], shown)
    if structure.differs and comparison.level < 2 and report is not None and report.passed:
        yield "-O2 compares what the passes leave of both"
    yield from _section("names", [_renaming_line(renaming) for renaming in structure.renamed], shown)


def _section(title: str, lines: Sequence[str], shown: int | None) -> Iterator[str]:
    if lines:
        yield title
        yield from _cut(lines, shown)


def _cut(lines: Sequence[str], shown: int | None) -> Iterator[str]:
    yield from lines[:shown]
    if shown is not None and len(lines) > shown:
        yield f"  … and {len(lines) - shown} more (--all shows them)"


# Totals


def _verdict(comparison: Comparison, names: tuple[str, str]) -> str:
    a, b = names
    if not comparison.same:
        return f"{a} and {b} differ in {_enumerate(comparison.differences)}"
    if comparison.structure.renamed:
        return f"no differences between {a} and {b}, but for names inside"
    return f"no differences between {a} and {b}"


def _enumerate(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _signature_total(comparison: Comparison) -> str:
    signature = comparison.signature
    changed = len(signature.changes)
    if changed:
        return f"{counted(changed, 'difference')}"
    return f"the same: {counted(len(signature.inputs), 'input')}, {counted(len(signature.outputs), 'output')}"


def _structure_total(comparison: Comparison) -> str:
    structure = comparison.structure
    passes = f", after the passes of -O{comparison.level}" if comparison.level else ""
    if not structure.differs:
        return f"the same: {counted(structure.same, 'node')}{passes}"
    added, removed = (sum(len(part.operators) for part in parts) for parts in (structure.added, structure.removed))
    counts = ((removed, "removed"), (added, "added"), (len(structure.changed), "changed"))
    found = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"{found}; {counted(structure.same, 'node')} the same{passes}"


def _weights_total(comparison: Comparison) -> str:
    weights = comparison.weights
    if not weights.differs:
        return f"the same: {weights.equal}"
    changed, only = len(weights.changed), " by rounding alone" if weights.is_rounding else ""
    counts = ((len(weights.removed), "removed"), (len(weights.added), "added"), (changed, f"changed{only}"))
    return f"{', '.join(f'{count} {what}' for count, what in counts if count)}; {weights.equal} the same"


def _numbers_total(comparison: Comparison) -> str:
    numbers = comparison.numbers
    if numbers.report is None:
        return numbers.problem or numbers.reason
    outputs = numbers.report.outputs
    failed = sum(not output.passed for output in outputs)
    verdict = f"different in {failed} of {counted(len(outputs), 'output')}" if failed else "the same within rounding"
    return f"{verdict}, {numbers.report.runs} runs of random inputs, seed {numbers.report.seed}"


# Lines


def _signature_line(change: SignatureChange) -> str:
    a, b = f"{change.name_a}: {change.a}", f"{change.name_b}: {change.b}"
    if change.name_a is None:
        return f"  + {change.role} {b}"
    if change.name_b is None:
        return f"  - {change.role} {a}"
    return f"  ~ {change.role} {a} -> {change.b if change.name_a == change.name_b else b}"


def _part_line(mark: str, part: Part) -> str:
    after = f" after {_enumerate(part.after)}" if part.after else ""
    where = f"{'' if part.whole else 'in '}{part.layer or part.place}{after}"
    if len(part.operators) == 1:
        return f"  {mark} {where}: {part.operators[0]}"
    counts = ", ".join(f"{name} {count}" for name, count in count_operators(part.operators).items())
    return f"  {mark} {where}: {counted(len(part.operators), 'node')}: {counts}"


def _node_line(change: NodeChange) -> str:
    changes = "; ".join(_change_text(one) for one in change.changes)
    a, b = change.place_a, change.place_b
    if change.changes[0].what == OPERATOR:  # the change says what it is and was
        a, b = (place.rpartition("/")[0] or place for place in (a, b))
    return f"  ~ {_both(a, b)}: {changes}"


def _change_text(change: Change) -> str:
    if change.what == OPERATOR:
        return f"{change.a} -> {change.b}"
    return f"{change.what}{':' if change.what.startswith('input ') else ''} {change.a} -> {change.b}"


def _weight_line(change: WeightChange) -> str:
    types = _both(str(change.type_a), str(change.type_b))
    line = f"  ~ {_both(change.name_a, change.name_b)}: {types}"
    if change.values is not None and change.type_a.rank == change.type_b.rank == 0:
        return f"{line}, {_both(*change.values)}"
    if change.kind == "shape":
        return line
    if not change.count:
        return f"{line}, the same numbers"
    size = math.prod(size for size in change.type_a.shape if isinstance(size, int))
    elements = "all elements" if change.count == size else f"{change.count:,} of {size:,} elements"
    rounding = ", by rounding alone" if change.kind == "rounding" else ""
    return f"{line}, max abs {change.max_abs:.2g}, max rel {change.max_rel:.2g}, {elements}{rounding}"


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} -> {b}"


def _output_line(output: OutputReport) -> str:
    numbers = " ".join(f"{number:>9.2g}" for number in (output.max_abs, output.max_rel, output.allowed))
    return f"  {output.name:<24} {numbers}  {'same' if output.passed else f'different {output.problem}'.rstrip()}"


def _renaming_line(renaming: Renaming) -> str:
    nodes = f" ({renaming.nodes} nodes)" if renaming.nodes > 1 else ""
    return f"  ~ {renaming.a} -> {renaming.b}{nodes}"
