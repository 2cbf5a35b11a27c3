"""Verification of ONNX files: does onnxruntime compute from them what the model means?"""

from kir.exporters.onnx_file.verify.file import verify_file as verify_file
from kir.exporters.onnx_file.verify.training import check_training as check_training
from kir.exporters.onnx_file.verify.two_files import verify_onnx_files as verify_onnx_files
