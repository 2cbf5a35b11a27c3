"""Files, notebooks and the command line."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kir
from kir import Input, Model, Sequential
from kir.errors import FormatError, InvalidArgumentError
from kir.exporters.picture import Picture, png
from kir.exporters.picture.html import embed
from kir.ir.graph import Graph
from kir.ir.structural import Input as GraphInput
from kir.ir.structural import Output, constant
from kir.ir.types import parse_type
from kir.layers import Dense, Lambda
from kir.ops.text import ConcatTexts
from tests.exporters.picture.models import HOSTILE, hostile_model, residual

ROOT = Path(kir.__file__).parent.parent
SIAMESE = str(ROOT / "models" / "siamese.py")


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize(
    ("suffix", "beginning"),
    [(".svg", "<svg "), (".html", "<!DOCTYPE html>"), (".dot", "digraph "), (".mmd", "flowchart TB")],
)
def test_the_ending_chooses_the_form(tmp_path: Path, suffix: str, beginning: str) -> None:
    path = tmp_path / f"model{suffix}"
    report = kir.plot(residual(1), path).save(path)
    content = path.read_bytes()
    assert content.decode().startswith(beginning)
    assert report.bytes == len(content)


def test_png_has_two_pixels_to_one(tmp_path: Path) -> None:
    picture = kir.plot(residual(1))
    report = picture.save(tmp_path / "model.png")
    assert report.zoom == 2.0
    assert png_size((tmp_path / "model.png").read_bytes()) == (2 * picture.scene.width, 2 * picture.scene.height)


def test_a_huge_png_is_drawn_smaller() -> None:
    assert png.fitting_zoom(100, 100) == 2.0
    assert png.fitting_zoom(100, 60_000) == 0.5
    zoom = png.fitting_zoom(20_000, 20_000)
    assert 20_000 * zoom * 20_000 * zoom == pytest.approx(png.MAX_PIXELS)


def test_png_without_resvg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(FormatError, match=r"pip install 'kir-onnx\[png\]'"):
        kir.plot(residual(1)).png()


def test_png_without_fonts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import resvg_py

    drawn = resvg_py.svg_to_bytes

    def without_fonts(**options: Any) -> Any:
        return drawn(skip_system_fonts=True, **options)

    monkeypatch.setattr(resvg_py, "svg_to_bytes", without_fonts)
    png.draws_text.cache_clear()
    try:
        with pytest.raises(FormatError, match="none of the fonts that it could use is installed"):
            kir.plot(residual(1)).png()
    finally:
        png.draws_text.cache_clear()


@pytest.mark.parametrize("suffix", ["", ".jpg", ".onnx"])
def test_other_endings_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"ends in \.svg, \.png, \.html, \.dot, \.mmd"):
        kir.plot(residual(1), tmp_path / f"model{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_page_shows_every_pass_and_not_before_and_after(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="in tabs"):
        kir.plot(residual(1), tmp_path / "model.html", before_after=True)


def test_a_file_is_kept_when_its_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot write"):
        kir.plot(residual(1), tmp_path / "missing" / "model.svg")


def page_data(page: str) -> Any:
    return json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])


def test_the_page_is_one_file_that_loads_nothing() -> None:
    model = residual(1)
    page = kir.plot(model).html()
    assert "default-src &#39;none&#39;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert page.count("<script") == 2
    assert page == kir.plot(model).html()


def test_no_name_ends_the_data_of_the_page() -> None:
    page = kir.plot(hostile_model()).html()
    assert page.count("</script>") == 2
    data = page_data(page)
    assert data["name"] == HOSTILE + "2"
    assert HOSTILE in [record["fullName"] for record in data["records"]]


def test_the_page_has_every_stage_and_its_weights_once() -> None:
    data = page_data(kir.plot(residual(2)).html())
    assert [(stage["title"], stage["step"]) for stage in data["stages"]] == [
        ("layers", None),
        ("graph", None),
        ("strip-inference", "−2"),
        ("fuse-activations", "−3 ~3"),
    ]
    assert len(data["weights"]) <= 4 * 5  # kernels and biases under a layer's name and under a node's
    kernel = next(weight for weight in data["weights"] if weight["type"] == "f32[8, 8]")
    assert sum(kernel["histogram"]) == kernel["size"] == 64


def test_json_in_a_page_cannot_leave_its_element() -> None:
    text = embed({"<!--<script>": "</script>\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"<!--<script>": "</script>\u2028"}


def test_notebooks_get_a_picture_and_a_page() -> None:
    model = residual(1)
    for subject in (model, model.to_graph(), kir.plot(model)):
        svg, page = subject._repr_svg_(), subject._repr_html_()
        assert svg is not None
        assert svg.startswith("<svg ")
        assert page is not None
        assert page.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')


def test_a_model_of_unknown_input_shape_shows_nothing_in_a_notebook() -> None:
    model = Sequential([Dense(2)])
    assert model._repr_svg_() is None
    assert model._repr_html_() is None
    with pytest.raises(InvalidArgumentError, match="input shape"):
        kir.plot(model).svg()


def run_kir(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from kir.cli import main

    with pytest.raises(SystemExit) as end:
        main(["plot", *arguments])
    captured = capsys.readouterr()
    return (end.value.code if isinstance(end.value.code, int) else 0), captured.out, captured.err


def test_kir_plot_writes_the_file_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "siamese.svg"
    assert run_kir(capsys, SIAMESE, "-o", str(path)) == (0, f"{path}: 12 boxes, 14 links\n", "")
    assert path.read_text(encoding="utf-8").startswith("<svg ")


def test_kir_plot_reports_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "siamese.html"
    code, out, _ = run_kir(capsys, SIAMESE, "-o", str(path), "--json", "--passes", "fuse-activations")
    report = json.loads(out)
    assert (code, report["file"], report["bytes"]) == (0, str(path), path.stat().st_size)
    assert report["stages"] == ["layers", "graph", "fuse-activations"]


def test_kir_plot_without_passes_draws_the_graph_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for level in ("0", "2"):
        out = run_kir(capsys, SIAMESE, "-o", str(tmp_path / "a.dot"), "--view", "ops", "-O", level, "--json")[1]
        counts.append(json.loads(out)["boxes"])
    assert counts[0] > counts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.gif"], "expected a name that ends in .svg or .png or .html or .dot or .mmd"),
        (["-o", "a.svg", "--show", "all"], "cannot show 'all'"),
        (["-o", "a.dot", "--before-after"], "cannot show before and after side by side"),
    ],
)
def test_kir_plot_refuses(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run_kir(capsys, SIAMESE, *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_expanded_and_chosen_parts_reach_the_picture() -> None:
    picture = Picture(residual(1), show="none", direction="LR")
    assert picture.scene.labels == []
    assert picture.scene.direction == "LR"


def test_kir_plot_draws_an_onnx_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = residual(1)
    model.export(tmp_path / "model.onnx")
    code, out, err = run_kir(capsys, str(tmp_path / "model.onnx"), "-o", str(tmp_path / "model.html"), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["stages"] == ["graph"]
    code, _, err = run_kir(capsys, str(tmp_path / "model.onnx"), "-o", str(tmp_path / "a.svg"), "--view", "layers")
    assert (code, "has no layers to show" in err) == (2, True)


def test_a_layer_of_operators_without_number_is_not_drawn_in_notebooks() -> None:
    def many(x: Any) -> Any:
        for _ in range(5_000):
            x = x + 1
        return x

    model = Model(x := Input((2,)), Lambda(many)(x))
    for subject in (model, Picture(model.to_graph())):
        assert subject._repr_svg_() is None
        assert "is too large to draw here" in str(subject._repr_html_())


def test_texts_are_shown_as_texts() -> None:
    graph = Graph("texts")
    x = graph.add(GraphInput("x", parse_type("str[2]"))).output
    for text in ("", "two  words"):
        x = graph.add(ConcatTexts(), x, graph.add(constant(np.array([text], object))).output).output
    graph.add(Output("y"), x)
    [diagram] = Picture(graph).diagrams
    lines = [line.value for box in diagram.boxes for line in box.lines]
    assert lines == ["['']", "['two words']"]
