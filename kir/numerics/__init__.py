"""Numbers: a graph is run, its rounding measured, and two results compared. Knows no Keras and no ONNX."""
