"""Graph to ONNX: `export_graph` writes a file, `to_model_proto` builds the model in memory."""

from kir.exporters.onnx_file.write import ExportReport, export_graph, to_model_proto

__all__ = ["ExportReport", "export_graph", "to_model_proto"]
