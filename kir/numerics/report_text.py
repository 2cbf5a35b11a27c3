"""The report of a verification as text for people, and as a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from kir.numerics.report import OF_OTHERS, Finding, OutputReport, Statement, VerificationReport
from kir.support.text import counted

# Of a longer list, the first; `--json` has all.
MOST_LISTED = 10
COLUMNS = ("output", "max abs", "max rel", "max ulp", "allowed", "element", "result")
VERDICT_COLOURS = {"pass": "#16a34a", "FAIL": "#dc2626", "not run": "#d97706", "nothing": "#d97706"}


def report_text(report: VerificationReport) -> str:
    """Return the verdict, a line for each part with what is wrong there, and in the end what was not shown."""
    lines = [headline(report)]
    for statement in report.statements:
        lines += statement_lines(statement)
        if statement.part == "outputs":
            lines += _table(report.outputs)
    lines += [_line("not shown", _rest(report))]
    lines += _listed([f"{part}: {finding}" for part, finding in report.not_shown])
    lines += _listed([str(note) for note in report.notes], "note       ")
    if report.divergence is not None:
        lines.append(str(report.divergence))
    elif _bisect_tells_more(report):
        lines.append("--bisect names the first node that differs")
    return "\n".join(lines)


def statement_lines(statement: Statement) -> list[str]:
    """Return the line of a part, and its problems."""
    if statement.verdict == "not run":
        return [_line(statement.part, f"not run: {statement.not_run}")]
    head = _line(statement.part, f"{statement.verdict}  {statement.covered}")
    return [head, *_listed([str(problem) for problem in statement.problems])]


def _line(heading: str, text: str) -> str:
    return f"{heading:<10} {text}".rstrip()


def headline(report: VerificationReport) -> str:
    """Return the verdict, and where and with which seed it was reached."""
    wrong = dict.fromkeys(part for part, _ in report.problems)
    if wrong and wrong.keys() <= OF_OTHERS.keys():
        others = " and ".join(OF_OTHERS[part] for part in wrong)
        verdict = f"MISMATCH with {others}; the file computes what kir takes the model to mean, verified"
    elif wrong:
        verdict = "MISMATCH"
    elif report.not_shown:
        is_vague = report.strict or report.shows_nothing
        verdict = "NOT SHOWN to be right" if is_vague else "verified, but for what was not shown,"
    else:
        verdict = "verified"
    runtime = "kir's interpreter" if report.provider == "interpreter" else f"onnxruntime ({report.provider})"
    return f"{verdict} in {runtime}, seed {report.seed}"


def _rest(report: VerificationReport) -> str:
    if not report.not_shown:
        return "nothing"
    consequence = "fails, as --strict asks" if report.strict else "warning; --strict makes it fail"
    return f"{counted(len(report.not_shown), 'finding')} ({consequence})"


def _listed(texts: Sequence[str], indent: str = "  ") -> Iterator[str]:
    """Yield the first of a list, and how many more there are."""
    yield from (f"{indent}{text}" for text in texts[:MOST_LISTED])
    if len(texts) > MOST_LISTED:
        yield f"{indent}… and {len(texts) - MOST_LISTED} more (--json has all)"


def _row(output: OutputReport) -> list[str]:
    numbers = output.max_abs, output.max_rel, output.max_ulp, output.allowed
    verdict = "pass" if output.passed else "FAIL"
    return [output.name, *(f"{number:.2g}" for number in numbers), str(list(output.element)), verdict]


def _table(outputs: Sequence[OutputReport]) -> list[str]:
    """Return the errors of the outputs, those that fail first if there are too many for all."""
    rows = [_row(output) for output in _failed_first(outputs)]
    heading = [f"  {_aligned(COLUMNS)}"] if rows else []
    return [*heading, *_listed([_aligned(row) for row in rows])]


def _aligned(cells: Sequence[str]) -> str:
    name, *numbers, element, result = cells
    return f"{name:<22} {' '.join(f'{number:>9}' for number in numbers)}  {element:<12} {result}"


def _failed_first(outputs: Sequence[OutputReport]) -> Sequence[OutputReport]:
    return outputs if len(outputs) <= MOST_LISTED else sorted(outputs, key=lambda output: output.passed)


def _bisect_tells_more(report: VerificationReport) -> bool:
    """Return whether outputs are wrong and no part says where that begins."""
    return {part for part, _ in report.problems} == {"outputs"}


def report_html(report: VerificationReport) -> str:
    """Return the report as small tables. Names in it may come from files, and are escaped."""
    rows = [_html_row(one.part, one.verdict, one.not_run or one.covered, one.problems) for one in report.statements]
    rest = [Finding(f"{part}: {finding}") for part, finding in report.not_shown]
    rows.append(_html_row("not shown", "", _rest(report), rest))
    rows += [_html_row("note", "", str(note)) for note in report.notes[:MOST_LISTED]]
    if report.divergence is not None:
        rows.append(_html_row("bisect", "", str(report.divergence)))
    outputs = [_html_cells("th", COLUMNS)]
    outputs += [_html_cells("td", _row(one)) for one in _failed_first(report.outputs)[:MOST_LISTED]]
    return f"<b>{escape(headline(report))}</b><table>{''.join(rows)}</table><table>{''.join(outputs)}</table>"


def _html_cells(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _html_row(part: str, verdict: str, text: str, findings: Sequence[Finding] = ()) -> str:
    colour = VERDICT_COLOURS.get(verdict, "inherit")
    listed = "".join(f"<br>{escape(line)}" for line in _listed([str(one) for one in findings], ""))
    return (
        f"<tr><th style='text-align: left'>{escape(part)}</th><td style='color: {colour}'>{escape(verdict)}</td>"
        f"<td style='text-align: left'>{escape(text)}{listed}</td></tr>"
    )
