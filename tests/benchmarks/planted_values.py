"""Kinds of planted errors that put nodes after a value: it is clipped, rounded, scaled, or wrong from somewhere on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from kir.ir.op import Array
from tests.benchmarks.planted_files import Change, File

STEP, ELEMENT = 40, 8  # from where on a file is wrong: past a tile of a recurrence; the ninth element of a batch


def round_half_up(file: File, rng: np.random.Generator) -> Iterator[Change]:
    half = numpy_helper.from_array(np.array(0.5, np.float32), "planted/half")
    for node in file.nodes:
        if node.op_type == "Round":
            yield file.insert(node.output[0], "rounds halves up", partial(_round_half_up, node), half)


def _round_half_up(node: NodeProto, inner: str) -> list[NodeProto]:
    raised = helper.make_node("Add", [node.input[0], "planted/half"], [f"{inner}/raised"])
    return [raised, helper.make_node("Floor", [f"{inner}/raised"], [node.output[0]])]


def clipped(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """Values end at 100, or at −100."""
    for name in file.floats():
        for op_type, limit in (("Min", 100.0), ("Max", -100.0)):
            dtype = helper.tensor_dtype_to_np_dtype(file.types[name][0])
            data = numpy_helper.from_array(np.array(limit, dtype), "planted/limit")
            yield file.insert(
                name,
                f"ends at {limit:g}",
                partial(_between, op_type, "planted/limit", name),
                data,
            )


def _between(op_type: str, constant: str, name: str, inner: str) -> list[NodeProto]:
    """Return the node that makes a value of the one before the change and a constant."""
    return [helper.make_node(op_type, [inner, constant], [name])]


def relu_for_relu6(file: File, rng: np.random.Generator) -> Iterator[Change]:
    six = numpy_helper.from_array(np.array(6, np.float32), "planted/six")
    for index, node in enumerate(file.nodes):
        if node.op_type == "Clip":
            yield file.change_node(index, "Relu for relu6", _to_relu)
        elif node.op_type == "Relu" and file.types.get(node.output[0], (0, ()))[0] == TensorProto.FLOAT:
            yield file.insert(node.output[0], "relu6 for Relu", partial(_between, "Min", six.name, node.output[0]), six)


def _to_relu(node: NodeProto) -> None:
    node.op_type = "Relu"
    del node.input[1:]


def through_float16(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for name in file.floats():
        if file.types[name][0] == TensorProto.FLOAT:
            yield file.insert(name, "through float16", partial(_cast_twice, name))


def _cast_twice(name: str, inner: str) -> list[NodeProto]:
    half = f"{inner}/half"
    there = helper.make_node("Cast", [inner], [half], to=TensorProto.FLOAT16)
    return [there, helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)]


def scaled(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for name in file.floats():
        dtype = helper.tensor_dtype_to_np_dtype(file.types[name][0])
        factor = numpy_helper.from_array(np.array(1.0001 if dtype != np.float16 else 1.01, dtype), "planted/factor")
        yield file.insert(name, "a ten-thousandth too large", partial(_between, "Mul", factor.name, name), factor)


def wrong_from_step(file: File, rng: np.random.Generator) -> Iterator[Change]:
    return _wrong_from(file, STEP, lambda size: isinstance(size, str) and size != "batch")


def wrong_from_element(file: File, rng: np.random.Generator) -> Iterator[Change]:
    return _wrong_from(file, ELEMENT, lambda size: size == "batch")


def _wrong_from(file: File, limit: int, is_meant: Callable[[int | str], bool]) -> Iterator[Change]:
    """Values are half as large again from an index of an axis on."""
    for name in file.floats():
        dtype, shape = file.types[name]
        for axis in [axis for axis, size in enumerate(shape) if is_meant(size)]:
            add = _raised(name, axis, limit, len(shape), dtype)
            yield file.insert(name, f"wrong from {limit} of axis {axis} on", add)


def _raised(name: str, axis: int, limit: int, rank: int, dtype: int) -> Callable[[str], list[NodeProto]]:
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)

    def constant(key: str, array: Array) -> NodeProto:
        return helper.make_node("Constant", [], [f"planted/{key}"], value=numpy_helper.from_array(array))

    def add(inner: str) -> list[NodeProto]:
        column = [-1 if index == axis else 1 for index in range(rank)]
        return [
            constant("zero", np.array(0)),
            constant("one", np.array(1)),
            constant("limit", np.array(limit)),
            constant("column", np.array(column)),
            constant("factor", np.array(1.5, numpy_type)),
            constant("axis", np.array(axis)),
            helper.make_node("Shape", [inner], ["planted/shape"]),
            helper.make_node("Gather", ["planted/shape", "planted/axis"], ["planted/size"]),
            helper.make_node("Range", ["planted/zero", "planted/size", "planted/one"], ["planted/range"]),
            helper.make_node("Less", ["planted/range", "planted/limit"], ["planted/right"]),
            helper.make_node("Reshape", ["planted/right", "planted/column"], ["planted/mask"]),
            helper.make_node("Mul", [inner, "planted/factor"], ["planted/wrong"]),
            helper.make_node("Where", ["planted/mask", inner, "planted/wrong"], [name]),
        ]

    return add
