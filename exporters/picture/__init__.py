"""Pictures of models and graphs: SVG, PNG, a page, DOT, Mermaid. `kir.plot` and `kir plot` are the ways in.

layers_view, ops_view ──> Diagram ──┬──> dot, mermaid
                                    └──> scene (layout, metrics) ──> Scene ──┬──> svg ──> png
                          stages ────────────────────────────────────────────┴──> html (page.js, page.css)
"""

from kir.exporters.picture.picture import Picture as Picture
from kir.exporters.picture.picture import PictureReport as PictureReport
