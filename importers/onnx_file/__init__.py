"""ONNX to Graph, the mirror of `kir.exporters.onnx_file`: `import_graph` reads a file, operator for operator."""

from kir.importers.onnx_file.build import import_graph, import_named

__all__ = ["import_graph", "import_named"]
