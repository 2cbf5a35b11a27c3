"""The page with the error of every node of a file."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import helper, numpy_helper

import kir
from kir import passes
from kir.cli import main
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.picture.errors import error_page, save_error_page
from kir.exporters.picture.html import MOST_FINDINGS
from kir.importers.script import load_script
from kir.ir.graph import Graph
from kir.numerics.report import Finding, Statement, VerificationReport

ROOT = Path(kir.__file__).parent.parent
SIAMESE = ROOT / "models" / "siamese.py"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The siamese model as ONNX, its weights beside it."""
    path = tmp_path / "siamese.onnx"
    model = load_script(SIAMESE, None)
    model.save_weights(tmp_path / "siamese.npz")
    model.export(path)
    return path


def spoil(path: Path, name: str) -> None:
    """Add one to the initializer whose name begins so."""
    proto = onnx.load(path)
    [found] = [tensor for tensor in proto.graph.initializer if tensor.name.startswith(name)]
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) + 1, found.name))
    onnx.save(proto, path)


def verify(capsys: pytest.CaptureFixture[str], file: Path, *options: str) -> tuple[int, str]:
    weights = str(file.with_suffix(".npz"))
    with pytest.raises(SystemExit) as end:
        main(["verify", str(SIAMESE), str(file), "--weights", weights, *options])
    return (end.value.code if isinstance(end.value.code, int) else 0), capsys.readouterr().err


def statuses(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    [stage] = json.loads(text)["stages"]
    return set(stage["arrived"].values())


def test_a_correct_file_is_within_its_bounds_everywhere(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = exported.with_suffix(".html")
    assert verify(capsys, exported, "--report", str(page)) == (0, "")
    assert statuses(page) <= {"within", "near", "unseen"}
    assert f"<title>{exported} of {SIAMESE}: verified" in page.read_text(encoding="utf-8")


def test_wrong_nodes_are_marked(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(exported, "apart/kernel")
    page = exported.with_suffix(".html")
    assert verify(capsys, exported, "--report", str(page))[0] == 1
    assert statuses(page) >= {"wrong", "within"}


def test_a_wrong_node_fails_the_command_though_the_outputs_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is positive, as what is right."""
    script = tmp_path / "cut.py"
    script.write_text(
        "from kir import Input, Sequential, initializers, layers\n"
        "model = Sequential([Input((3,), name='x'),\n"
        "    layers.Dense(4, name='inner', bias_initializer=initializers.Constant(10000)),\n"
        "    layers.Lambda(lambda x: x > 0, name='y')])\n"
    )
    file, page = tmp_path / "cut.onnx", tmp_path / "cut.html"
    kir.export(script, file)
    spoil(file, "inner/kernel")
    with pytest.raises(SystemExit) as end:
        main(["verify", str(script), str(file), "--report", str(page), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert end.value.code == 1
    assert document["outputs"][0]["passed"]
    [operators] = [one for one in document["statements"] if one["part"] == "operators"]
    assert operators["verdict"] == "FAIL"
    assert operators["problems"][0]["layer"] == "inner (Dense)"
    assert "wrong" in statuses(page)


def test_boxes_say_error_and_bound(exported: Path) -> None:
    graph = optimised(exported)
    stage, _ = error_page(graph, verify_file(graph, exported, written=graph))
    measured = [box for box, status in zip(stage.diagram.boxes, stage.arrived, strict=True) if status]
    assert {box.title for box in measured} >= {"Dense", "Concat"}
    assert all({"tensor", "error", "allowed"} <= set(dict(box.facts)) for box in measured)
    assert [box.title for box, s in zip(stage.diagram.boxes, stage.arrived, strict=True) if not s].count("Input") == 2


def optimised(exported: Path) -> Graph:
    model = load_script(SIAMESE, None)
    model.load_weights(exported.with_suffix(".npz"))
    graph = model.to_graph()
    passes.run(graph, passes.pipeline(2))
    return graph


def report(*statements: Statement) -> VerificationReport:
    return VerificationReport((), 1, "cpu", 0, "", statements)


def test_findings_colour_the_boxes_of_their_layers_and_say_what_was_found(exported: Path) -> None:
    graph = optimised(exported)
    node = next(node for node in graph.order() if node.op.name == "Dense")
    layer = str(node.origin)
    problem = Finding("kernel differs", layer, str(node.op), "the kernel")
    unseen = Finding("no probe reached it", layer="apart (Dense)")
    lost = Finding("of nothing that is drawn", layer="elsewhere", tensor="unknown")
    statements = [Statement("file", "all", (problem, lost)), Statement("operators", "most", not_shown=(unseen,))]
    stage, shown = error_page(graph, report(*statements))
    [wrong] = [box for box, status in zip(stage.diagram.boxes, stage.arrived, strict=True) if status == "wrong"]
    [vague] = [box for box, status in zip(stage.diagram.boxes, stage.arrived, strict=True) if status == "unseen"]
    assert (wrong.identity, vague.name) == (node, "apart")
    assert dict(wrong.facts)["wrong"] == str(problem)
    assert dict(vague.facts)["unseen"] == str(unseen)
    boxes = stage.diagram.boxes
    assert [one.box for one in shown[0].findings] == [boxes.index(wrong), None]
    with_note = replace(report(*statements), notes=(Finding("weights of the model: random"),))
    assert error_page(graph, with_note)[1][-1].text == "weights of the model: random"
    assert [(one.title, one.verdict) for one in shown] == [("file", "FAIL"), ("operators", "pass"), ("outputs", "pass")]


def test_findings_of_weights_are_of_the_boxes_that_read_them(exported: Path) -> None:
    graph = optimised(exported)
    [name] = [tensor.name for tensor in onnx.load(exported).graph.initializer if tensor.name.startswith("apart/kernel")]
    _, [statement, *_] = error_page(graph, report(Statement("file", "all", (Finding("differs", tensor=name),))))
    [finding] = statement.findings
    assert finding.box is not None
    stage, _ = error_page(graph, report())
    assert stage.diagram.boxes[finding.box].name == "apart"


def test_a_file_that_does_not_run_has_a_page_that_says_so(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = onnx.load(exported)
    next(node for node in proto.graph.node if node.op_type == "Gemm").attribute.append(
        helper.make_attribute("transA", 1)
    )
    onnx.save(proto, exported)
    page = exported.with_suffix(".html")
    code, _ = verify(capsys, exported, "--report", str(page), "--bisect", "--json")
    assert code == 1
    assert "transA" in page.read_text(encoding="utf-8")
    assert "wrong" in statuses(page)


def test_a_page_has_the_first_of_many_findings(exported: Path) -> None:
    graph, page = optimised(exported), exported.with_suffix(".html")
    many = tuple(Finding(f"finding {index:03}") for index in range(MOST_FINDINGS + 5))
    save_error_page(page, "m.onnx of m.py", graph, report(Statement("file", "all", many)))
    text = page.read_text(encoding="utf-8")
    assert f"finding {MOST_FINDINGS - 1:03}" in text
    assert f"finding {MOST_FINDINGS:03}" not in text


@pytest.mark.parametrize(
    ("source", "page", "message"),
    [
        (str(SIAMESE), "report.svg", "expected a name that ends in .html"),
        ("a.onnx", "report.html", "MODEL is an ONNX file"),
    ],
)
def test_reports_are_refused(capsys: pytest.CaptureFixture[str], source: str, page: str, message: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["verify", source, "b.onnx", "--report", page])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
