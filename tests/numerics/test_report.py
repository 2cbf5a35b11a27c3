"""The report of a verification: what passes and what fails, its text, its JSON, and what a notebook shows."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from kir.errors import MismatchError, NotShownError
from kir.numerics.report import PARTS, Divergence, Finding, OutputReport, Statement, VerificationReport
from kir.numerics.report_text import MOST_LISTED

GOOD = OutputReport("y", "float32", ((1, 3),), 1e-7, 2e-7, 3, 1e-6, True, "", (0, 2))
BAD = replace(GOOD, name="z", max_abs=0.5, passed=False, problem="in 2 of 3 elements")
WRONG = Finding("kernel differs in 1 of 27 elements", "conv_2 (Conv2D)", "Conv2D", "conv_2/kernel", 0.25, 0)
UNSEEN = Finding("the same in all runs", tensor="y")


def report(
    *statements: Statement, outputs: tuple[OutputReport, ...] = (GOOD,), strict: bool = False
) -> VerificationReport:
    return VerificationReport(outputs, 3, "cpu", 7, "reference; 8 roundings", statements, strict=strict)


FILE = Statement("file", "3 nodes and 2 weights, bit for bit")
FAILING = Statement("file", "3 nodes and 2 weights, bit for bit", (WRONG,))
VAGUE = Statement("alone", "2 operators", not_shown=(UNSEEN,))
SKIPPED = Statement("passes", not_run="the graph before the passes is not known")

# Statements and outputs; whether that passes without and with strict; the kind of the error with strict.
CASES = {
    "all well": ((FILE,), (GOOD,), True, True, None),
    "a part fails": ((FAILING,), (GOOD,), False, False, MismatchError),
    "an output fails": ((FILE,), (GOOD, BAD), False, False, MismatchError),
    "something is not shown": ((FILE, VAGUE), (GOOD,), True, False, NotShownError),
    "a part did not run": ((FILE, SKIPPED), (GOOD,), True, False, NotShownError),
    "a part fails and another did not run": ((FAILING, SKIPPED), (GOOD,), False, False, MismatchError),
}


@pytest.mark.parametrize("case", CASES)
def test_what_passes(case: str) -> None:
    statements, outputs, passes, passes_strictly, kind = CASES[case]
    assert report(*statements, outputs=outputs).passed is passes
    strict = report(*statements, outputs=outputs, strict=True)
    assert strict.passed is passes_strictly
    if kind is None:
        strict.raise_if_failed()
        return
    with pytest.raises(kind) as caught:
        strict.raise_if_failed()
    assert caught.value.exit_code == 1
    assert caught.value.details["verification"] == strict.to_json()


def test_where_no_part_shows_anything_it_is_not_called_verified() -> None:
    empty = Statement("outputs", "1 output", not_shown=(UNSEEN,), shows_nothing=True)
    assert empty.verdict == "nothing"
    assert str(report(FILE, empty)).startswith("verified, but for what was not shown, in")
    nothing = report(SKIPPED, empty)
    assert nothing.passed
    assert str(nothing).startswith("NOT SHOWN to be right in")
    assert "NOT SHOWN" in repr(nothing)
    assert replace(empty, problems=(WRONG,)).verdict == "FAIL"


def test_statements_come_in_one_order() -> None:
    shuffled = [Statement(part) for part in reversed(PARTS)]
    assert [one.part for one in report(*shuffled).statements] == list(PARTS)
    assert [one.part for one in report(VAGUE, FILE).statements] == ["file", "alone", "outputs"]


def test_a_report_is_a_line_for_each_part_when_all_is_well() -> None:
    assert str(report(FILE)).splitlines() == [
        "verified in onnxruntime (cpu), seed 7",
        "file       pass  3 nodes and 2 weights, bit for bit",
        "outputs    pass  1 output on 3 probes, against the reference; 8 roundings",
        "  output                   max abs   max rel   max ulp   allowed  element      result",
        "  y                          1e-07     2e-07         3     1e-06  [0, 2]       pass",
        "not shown  nothing",
    ]


def test_what_is_wrong_comes_under_its_part_and_opens_the_error() -> None:
    failed = report(FAILING, outputs=(GOOD, BAD))
    problem = "Conv2D of layer conv_2 (Conv2D): kernel differs in 1 of 27 elements: error 0.25, allowed 0"
    text = str(failed)
    assert text.startswith("MISMATCH in onnxruntime (cpu), seed 7\nfile       FAIL  3 nodes")
    assert f"\n  {problem}\noutputs    FAIL  2 outputs on 3 probes" in text
    assert "\n  z: wrong in 2 of 3 elements: error 0.5, allowed 1e-06\n" in text
    with pytest.raises(MismatchError, match=rf"^file: {re.escape(problem)} \(and 1 more\)\nMISMATCH"):
        failed.raise_if_failed()


def test_what_was_not_shown_comes_last_with_its_part() -> None:
    text = str(report(SKIPPED, VAGUE))
    assert text.startswith("verified, but for what was not shown, in onnxruntime (cpu)")
    assert "\npasses     not run: the graph before the passes is not known\n" in text
    assert text.endswith(
        "\nnot shown  2 findings (warning; --strict makes it fail)"
        "\n  passes: not run: the graph before the passes is not known\n  alone: y: the same in all runs"
    )
    strict = report(VAGUE, strict=True)
    assert "NOT SHOWN to be right in onnxruntime" in str(strict)
    with pytest.raises(NotShownError, match=r"^alone: y: the same in all runs\n(?s:.*)1 finding \(fails, as --strict"):
        strict.raise_if_failed()


@pytest.mark.parametrize("kind", ["problems", "not_shown", "notes", "outputs"])
def test_long_lists_are_folded_and_json_has_all(kind: str) -> None:
    many = tuple(Finding(f"finding {index:02}") for index in range(MOST_LISTED + 12))
    made = report(FILE)
    if kind == "notes":
        made = replace(made, notes=many)
    elif kind == "outputs":
        made = report(outputs=tuple(replace(GOOD, name=one.text) for one in many))
    else:
        made = report(replace(FILE, **{kind: many}))  # type: ignore[arg-type]
    text, document = str(made), json.dumps(made.to_json())
    shown = [one.text in text for one in many]
    assert shown == [True] * MOST_LISTED + [False] * 12
    assert "… and 12 more (--json has all)" in text
    assert all(one.text in document for one in many)
    assert sum(one.text in made._repr_html_() for one in many) == MOST_LISTED


def test_outputs_that_fail_are_in_a_folded_table() -> None:
    outputs = (*[replace(GOOD, name=f"y{index}") for index in range(50)], BAD)
    table = str(report(outputs=outputs)).partition("result\n")[2]
    assert table.startswith("  z ")


def test_bisect_is_hinted_at_where_it_tells_more() -> None:
    hint = "--bisect names the first node"
    failed = report(FILE, outputs=(BAD,))
    assert hint in str(failed)
    assert hint not in str(report(FILE))
    assert hint not in str(report(FAILING, outputs=(BAD,)))
    assert hint not in str(replace(failed, divergence=Divergence()))
    assert "every operator" in str(replace(failed, divergence=Divergence()))


def test_json_has_its_keys_and_survives_a_round_trip() -> None:
    made = replace(report(FAILING, SKIPPED, VAGUE), notes=(Finding("ran on the CPU instead of cuda", tensor="node"),))
    document = made.to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == json.loads(json.dumps(document))
    assert list(document) == [
        "passed", "strict", "provider", "seed", "runs", "method", "statements", "outputs", "not_shown", "notes",
        "divergence",
    ]  # fmt: skip
    assert [(one["part"], one["verdict"]) for one in document["statements"]] == [
        ("file", "FAIL"), ("passes", "not run"), ("alone", "pass"), ("outputs", "pass"),
    ]  # fmt: skip
    assert all(
        set(one) == {"part", "verdict", "covered", "not_run", "problems", "not_shown"} for one in document["statements"]
    )
    assert document["statements"][0]["problems"] == [
        {
            "text": "kernel differs in 1 of 27 elements",
            "layer": "conv_2 (Conv2D)",
            "op": "Conv2D",
            "tensor": "conv_2/kernel",
            "error": 0.25,
            "allowed": 0,
        }
    ]
    assert [(one["part"], one["text"]) for one in document["not_shown"]] == [
        ("passes", "not run: the graph before the passes is not known"),
        ("alone", "the same in all runs"),
    ]
    assert document["notes"][0]["tensor"] == "node"


def test_numbers_that_json_lacks_are_text() -> None:
    infinite = Statement("operators", "", (Finding("overflows", error=math.inf, allowed=math.nan),))
    document = report(infinite, outputs=(replace(GOOD, max_rel=math.inf, allowed=0, max_abs=1),)).to_json()
    assert document["statements"][0]["problems"][0]["error"] == "inf"
    assert document["statements"][0]["problems"][0]["allowed"] == "nan"
    assert (document["outputs"][0]["max_rel"], document["outputs"][0]["ratio"]) == ("inf", "inf")
    json.dumps(document, allow_nan=False)


def test_a_line_and_what_notebooks_show() -> None:
    hostile = replace(BAD, name="<script>x</script>")
    made = report(FAILING, SKIPPED, VAGUE, outputs=(hostile,))
    assert repr(made) == (
        "<VerificationReport FAILED in file, outputs: 3 runs in cpu, worst '<script>x</script>' with 5e+05 of the "
        "allowed error, 2 not shown>"
    )
    shown = made._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;x" in shown
    assert all(word in shown for word in ("MISMATCH", "FAIL", "not run", "kernel differs", "the same in all runs"))
    assert shown.count("<table>") == shown.count("</table>") == 2


def test_the_keys_of_json_are_documented() -> None:
    """In the tables of docs/verification.md: each key once, and none that is not there."""
    page = (Path(__file__).parents[2] / "docs" / "verification.md").read_text(encoding="utf-8").partition("## JSON")[2]
    documented = re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)
    divergence = Divergence("Dense", "first (Dense)", "y", 1.0, 0.5)
    document = replace(report(FAILING, SKIPPED, VAGUE), notes=(WRONG,), divergence=divergence).to_json()
    finding = set(WRONG.to_json())
    keys = set(document) | {f"divergence.{key}" for key in set(document["divergence"]) - finding}
    keys |= {f"{name}[].{key}" for name in ("statements", "outputs") for one in document[name] for key in one}
    keys |= {f"not_shown[].{key}" for one in document["not_shown"] for key in set(one) - finding}
    assert sorted(documented) == sorted(keys | finding)
    [order] = re.findall(r"in this order: ([\w, ]+)", page)
    assert [part for part in order.strip().split(", ") if part in PARTS] == list(PARTS)
