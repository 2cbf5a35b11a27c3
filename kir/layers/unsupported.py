"""The layers of Keras that kir has not, and why: for errors, and for the table of layers."""

from __future__ import annotations

_HASH = "spreads tokens by a hash (FarmHash64 or SipHash64), for which ONNX has no operator"
_OTHER_CODE = "runs code of another framework, which kir neither reads nor runs"

UNSUPPORTED: dict[str, str] = {
    "ContrastLimitedAdaptiveHistogramEqualization": "prepares images for training; ONNX has no histogram",
    "FlaxLayer": _OTHER_CODE,
    "HashedCrossing": _HASH,
    "Hashing": _HASH,
    "JaxLayer": _OTHER_CODE,
    "MaxNumBoundingBoxes": "prepares the bounding boxes of a training set; it means nothing for inference",
    "TFSMLayer": _OTHER_CODE,
    "TextVectorization": "takes texts apart by regular expressions, for which ONNX has no operator; split them before, "
    "and give the words to a StringLookup",
    "TorchModuleWrapper": _OTHER_CODE,
}
