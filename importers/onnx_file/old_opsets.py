"""Files of old opsets, which ONNX's own converter makes newer ones of."""

from __future__ import annotations

import warnings

from onnx import ModelProto, defs

from kir.errors import UnsupportedError

# The oldest opset that kir reads.
OLDEST_OPSET = 7
# The oldest one that kir writes: what is carried through must mean the same there.
OLDEST_WRITTEN = 13


def converted(model: ModelProto, opset: int) -> ModelProto:
    """Return a model of an old opset as one of the oldest opset that kir writes.

    Raises:
        UnsupportedError: ONNX's converter cannot do it.
    """
    from onnx import shape_inference, version_converter  # start-up time

    try:
        # The oldest operators broadcast as their inputs' shapes say.
        newer = version_converter.convert_version(shape_inference.infer_shapes(model), OLDEST_WRITTEN)
    except Exception as error:  # whatever the C++ code says of the model
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedError(
            f"the model is written in opset {opset}, and ONNX's converter cannot make it opset {OLDEST_WRITTEN}: "
            f"{reason}; export it in a newer opset where it comes from"
        ) from None
    types = {value.name: value.type.SerializeToString() for value in model.graph.input}
    for value in newer.graph.input:  # of a Scan of opset 8 the converter takes the batch axis away
        if types.get(value.name, b"") != value.type.SerializeToString():
            raise UnsupportedError(
                f"ONNX's converter changes the type of the input {value.name!r} of the model, whose opset is {opset}; "
                "export it in a newer opset where it comes from"
            )
    warnings.warn(f"the file is of opset {opset}; ONNX's converter made it opset {OLDEST_WRITTEN}", stacklevel=4)
    return newer


def is_outdated(op_type: str, opset: int) -> bool:
    """Return whether one of ONNX's own operators means something else where kir writes it than in an old opset."""
    return opset < OLDEST_WRITTEN and _version(op_type, opset) != _version(op_type, OLDEST_WRITTEN)


def _version(op_type: str, opset: int) -> int:
    try:
        return int(defs.get_schema(op_type, opset).since_version)
    except defs.SchemaError:
        return 0
