"""`kir.plot` and `kir plot`: a picture of a model or a graph, in the form that a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from kir import passes as all_passes
from kir.errors import InvalidArgumentError
from kir.exporters.picture.diagram import PARTS, Diagram, parse_parts
from kir.exporters.picture.dot import write_dot
from kir.exporters.picture.html import write_html
from kir.exporters.picture.layers_view import layers_diagram, source_lines
from kir.exporters.picture.mermaid import write_mermaid
from kir.exporters.picture.ops_view import ops_diagram
from kir.exporters.picture.png import write_png
from kir.exporters.picture.scene import Scene, beside, make_scene
from kir.exporters.picture.stages import Stage, compare, pipeline_stages
from kir.exporters.picture.svg import write_svg
from kir.ir.graph import Graph
from kir.modeling.model import Model
from kir.support.files import replacing
from kir.support.garbage_collection import without_garbage_collection
from kir.support.text import MOST_NODES_IN_NOTEBOOKS, preformatted

VIEWS = ("layers", "ops")
DIRECTIONS = ("TB", "LR")
SUFFIXES = (".svg", ".png", ".html", ".dot", ".mmd")
FRAME_HEIGHT = 560


@dataclass(frozen=True)
class PictureReport:
    """What was written. `zoom` is how many pixels a PNG has to one of the picture; `stages` are the tabs of a page."""

    path: Path
    view: str
    boxes: int
    links: int
    bytes: int
    zoom: float | None = None
    stages: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        facts = {name: value for name, value in vars(self).items() if name != "path"}
        return {"file": str(self.path), **facts, "stages": list(self.stages)}

    def __str__(self) -> str:
        size = f", {self.zoom:.2g} pixels to one of the drawing" if self.zoom is not None else ""
        tabs = f", tabs {', '.join(self.stages)}" if self.stages else ""
        return f"{self.path}: {self.boxes} boxes, {self.links} links{size}{tabs}"


class Picture:
    """A picture, drawn when it is asked for; arguments as for `kir.plot`."""

    def __init__(
        self,
        subject: Model | Graph,
        view: str | None = None,
        level: int | None = None,
        passes: str | None = None,
        before_after: bool = False,
        direction: str = "TB",
        show: str = ",".join(PARTS),
        expand_nested: bool = False,
    ) -> None:
        if not isinstance(subject, Model | Graph):
            raise InvalidArgumentError(f"only a kir.Model or a kir.Graph can be drawn; received {subject!r}")
        default_view = "layers" if isinstance(subject, Model) and not before_after else "ops"
        self.subject = subject
        self.view = _one_of("view", default_view if view is None else view, VIEWS)
        self.direction = _one_of("direction", direction, DIRECTIONS)
        self.shown = parse_parts(show)
        self.before_after = before_after
        self.expand_nested = expand_nested
        default_level = 2 if isinstance(subject, Model) or before_after else 0
        self.passes = all_passes.select(passes or "", default_level if level is None else level)
        if self.view == "layers" and isinstance(subject, Graph):
            raise InvalidArgumentError(f"graph {subject.name!r} has no layers to show; expected view='ops'")
        if self.view == "layers" and before_after:
            raise InvalidArgumentError("passes change operators, not layers: before and after need view='ops'")

    # What is drawn

    @cached_property
    def stages(self) -> list[Stage]:
        """The tabs of the page: the layers of a model, its operators, and what each pass makes of them."""
        if isinstance(self.subject, Graph):
            return pipeline_stages(self.subject, self.passes, self.shown)
        layers = Stage("layers", f"the layers of {self.subject.name}", self._layers(self.subject))
        sources = source_lines(self.subject)
        return [layers, *pipeline_stages(self.subject.to_graph(), self.passes, self.shown, sources)]

    @cached_property
    def diagrams(self) -> list[Diagram]:
        """The diagram of the view, or two: before and after the passes."""
        if self.view == "layers":
            assert isinstance(self.subject, Model)
            return [self._layers(self.subject)]
        graph = self.subject.copy() if isinstance(self.subject, Graph) else self.subject.to_graph()
        before = ops_diagram(graph, self.shown)
        all_passes.run(graph, self.passes)
        after = ops_diagram(graph, self.shown)
        if not self.before_after:
            return [after]
        for diagram, statuses in zip((before, after), compare(before, after), strict=True):
            for box, status in zip(diagram.boxes, statuses, strict=True):
                box.status = status
        return [before, after]

    @cached_property
    def scene(self) -> Scene:
        """The diagram of the view with a place for everything."""
        scenes = [make_scene(diagram, self.direction) for diagram in self.diagrams]
        return beside(scenes, ("before the passes", "after the passes")) if self.before_after else scenes[0]

    def _layers(self, model: Model) -> Diagram:
        return layers_diagram(model, self.shown, self.expand_nested)

    # Forms

    @without_garbage_collection()
    def svg(self) -> str:
        """Return the text of an SVG file, light or dark as the reader's system is."""
        return write_svg(self.scene)

    def png(self) -> bytes:
        """Return the content of a PNG file, light; needs resvg-py.

        Raises:
            FormatError: resvg-py or any font is missing.
        """
        return self._png()[0]

    @without_garbage_collection()
    def html(self) -> str:
        """Return the text of a page that works offline, with a tab for each stage."""
        first = 0 if self.view == "layers" else len(self.stages) - 1
        return write_html(self.subject.name, self.stages, first, self.direction)

    @without_garbage_collection()
    def dot(self) -> str:
        """Return the text of a DOT file, for Graphviz."""
        return write_dot(self._only_diagram("DOT"), self.direction)

    @without_garbage_collection()
    def mermaid(self) -> str:
        """Return the text of a Mermaid flowchart."""
        return write_mermaid(self._only_diagram("Mermaid"), self.direction)

    def save(self, path: str | Path) -> PictureReport:
        """Write the form that the name's ending asks for; what was there stays as it was if that fails.

        Raises:
            InvalidArgumentError: the ending is none of a picture's, or the form cannot show before and after.
            FormatError: the file cannot be written.
        """
        path = Path(path)
        zoom = None
        if path.suffix == ".png":
            content, zoom = self._png()
        else:
            content = self._text_form(path)().encode("utf-8", "replace")
        with replacing(path) as written:
            written.write_bytes(content)
        stages = tuple(stage.title for stage in self.stages) if path.suffix == ".html" else ()
        diagrams = [stage.diagram for stage in self.stages] if stages else self.diagrams
        boxes, links = sum(len(d.boxes) for d in diagrams), sum(len(d.links) for d in diagrams)
        return PictureReport(path, self.view, boxes, links, len(content), zoom, stages)

    def _text_form(self, path: Path) -> Callable[[], str]:
        if path.suffix == ".html" and self.before_after:
            raise InvalidArgumentError(
                "the page shows what every pass did, in tabs; before and after side by side is for .svg and .png"
            )
        forms = {".svg": self.svg, ".html": self.html, ".dot": self.dot, ".mmd": self.mermaid}
        if path.suffix not in forms:
            raise InvalidArgumentError(f"cannot draw {path}: expected a name that ends in {', '.join(SUFFIXES)}")
        return forms[path.suffix]

    @without_garbage_collection()
    def _png(self) -> tuple[bytes, float]:
        return write_png(write_svg(self.scene, themes="light"), self.scene.width, self.scene.height)

    def _only_diagram(self, form: str) -> Diagram:
        if self.before_after:
            raise InvalidArgumentError(f"{form} cannot show before and after side by side; write .svg or .png")
        return self.diagrams[0]

    # Notebooks

    @cached_property
    def _fits_notebooks(self) -> bool:
        """Whether the picture has few enough nodes: the layers of a model may hold operators without number."""
        if isinstance(self.subject, Graph):
            return self.subject.get_node_count() <= MOST_NODES_IN_NOTEBOOKS
        few_calls = len(self.subject.recorded) <= MOST_NODES_IN_NOTEBOOKS
        return few_calls and self.subject.to_graph().get_node_count() <= MOST_NODES_IN_NOTEBOOKS

    def _repr_svg_(self) -> str | None:
        return self.svg() if self._fits_notebooks else None

    def _repr_html_(self) -> str:
        if not self._fits_notebooks:
            return preformatted(f"{self.subject!r} is too large to draw here: kir.plot(…, 'page.html') writes a page")
        return (
            f'<iframe srcdoc="{escape(self.html())}" sandbox="allow-scripts" width="100%" height="{FRAME_HEIGHT}" '
            f'style="border:1px solid #94a3b8;border-radius:5px" title="{escape(self.subject.name)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Picture of {self.subject.name!r}, {self.view}>"


def _one_of(what: str, given: str, allowed: Sequence[str]) -> str:
    if given not in allowed:
        raise InvalidArgumentError(f"{what}={given!r} is unknown; expected {' or '.join(allowed)}")
    return given
