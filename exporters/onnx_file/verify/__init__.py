"""Verification of ONNX files: does onnxruntime compute from them what the model means?

Nothing is imported here: an export takes from this package what it needs, and importing all of it takes as long as a
small model takes to verify.
"""
