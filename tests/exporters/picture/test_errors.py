"""The page with the error of every node of a file."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

import kir
from kir import passes
from kir.cli import main
from kir.exporters.onnx_file.verify.bisect import node_errors
from kir.exporters.picture.errors import error_stage
from kir.importers.script import load_script

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
    assert statuses(page) <= {"within", "near"}


def test_wrong_nodes_are_marked(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(exported, "apart/kernel")
    page = exported.with_suffix(".html")
    assert verify(capsys, exported, "--report", str(page))[0] == 1
    assert statuses(page) >= {"wrong", "within"}


def test_boxes_say_error_and_bound(exported: Path) -> None:
    graph = load_script(SIAMESE, None)
    graph.load_weights(exported.with_suffix(".npz"))
    optimised = graph.to_graph()
    passes.run(optimised, passes.pipeline(2))
    stage = error_stage(optimised, node_errors(optimised, exported))
    measured = [box for box, status in zip(stage.diagram.boxes, stage.arrived, strict=True) if status]
    assert {box.title for box in measured} >= {"Dense", "Concat"}
    assert all({"tensor", "error", "allowed"} <= set(dict(box.facts)) for box in measured)
    assert [box.title for box, s in zip(stage.diagram.boxes, stage.arrived, strict=True) if not s].count("Input") == 2


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
