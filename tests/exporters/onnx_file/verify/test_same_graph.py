"""Part "file": every kind of change in a file is seen and named, and what says the same is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from kir.errors import FormatError, KirError
from kir.exporters.onnx_file.verify.held import hold_written
from kir.exporters.onnx_file.write import export_graph, to_model_proto
from kir.importers.onnx_file import import_graph
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Data, Input, Output, constant
from kir.ir.types import parse_type
from kir.numerics.report import Statement
from kir.ops.convolution import Conv
from kir.ops.elementwise import Relu, Sub
from kir.ops.linear import Dense
from kir.ops.reduce import ReduceMax
from kir.ops.shape import Concat, Gather, Reshape

Plant = Callable[[ModelProto], object]


def add(graph: Graph, op: Op, *values: Value, layer: str = "") -> Value:
    return graph.add(op, *values, origin=Origin(layer, "Layer") if layer else None).output


def small_graph(dtype: str = "f32") -> Graph:
    """Return a convolution, a table, a Dense and a difference, with texts and an input that has a default beside."""
    graph, random = Graph("small"), np.random.default_rng(0)
    x = add(graph, Input("image", parse_type(f"{dtype}[batch, 3, 8, 8]")))
    word = add(graph, Input("word", parse_type("i64[batch]"), Data(np.array([1, 2]))))
    text = add(graph, Input("text", parse_type("str[batch, 2]")))

    def weight(name: str, *shape: int) -> Value:
        return add(graph, constant(random.normal(size=shape).astype(x.type.dtype.numpy), name))

    x = add(graph, Conv((2, 2), (1, 1), 1, (0, 0, 0, 0)), x, weight("conv/kernel", 4, 3, 3, 3), layer="conv")
    x = add(graph, Relu(), x, layer="relu")
    x = add(graph, Reshape((x.type.shape[0], 36)), x, layer="flatten")
    x = add(graph, Dense(), x, weight("dense/kernel", 36, 5), weight("dense/bias", 5), layer="dense")
    table = add(graph, Gather(0), weight("words/table", 7, 5), word, layer="words")
    add(graph, Output("y"), add(graph, Sub(), x, table, layer="difference"))
    texts = add(graph, constant(np.array([["good", "bad"]], object), "texts/list"))
    add(graph, Output("both"), add(graph, Concat(0), text, texts, layer="texts"))
    return graph


GRAPH = small_graph()


def check(plant: Plant, graph: Graph = GRAPH) -> Statement:
    model = to_model_proto(graph)
    plant(model)
    return hold_written(graph, model.SerializeToString()).statement


def node(model: ModelProto, op_type: str) -> NodeProto:
    return next(one for one in model.graph.node if one.op_type == op_type)


def tensor(model: ModelProto, name: str) -> TensorProto:
    return next(one for one in model.graph.initializer if one.name == name)


def test_the_file_that_was_written_is_the_graph() -> None:
    statement = check(lambda model: None)
    assert str(statement).startswith("file       pass  ")
    assert "7 nodes, 5 types and 7 constants of " in statement.covered


# Tensors


def change(name: str, function: Callable[[Array], Any]) -> Plant:
    def plant(model: ModelProto) -> None:
        stored = tensor(model, name)
        stored.CopyFrom(numpy_helper.from_array(function(numpy_helper.to_array(stored).copy()), name))

    return plant


def set_element(index: tuple[int, ...], value: object) -> Callable[[Array], Array]:
    def function(array: Array) -> Array:
        array[index] = value
        return array

    return function


def flip_last_bit(array: Array) -> Array:
    array[3, 2:3].view(np.uint8)[0] ^= 1
    return array


def drop(name: str) -> Plant:
    def plant(model: ModelProto) -> None:
        model.graph.initializer.remove(tensor(model, name))

    return plant


TENSORS: dict[str, tuple[Plant, str]] = {
    "last bit": (change("dense/kernel", flip_last_bit), "dense/kernel of layer dense: element [3, 2] is "),
    "one of 180": (change("dense/kernel", set_element((3, 2), 1.5)), "is 1.5 in the file, "),
    "count": (change("dense/kernel", lambda array: array + 1), "; 180 of 180 elements differ"),
    "nan": (change("dense/bias", set_element((0,), np.nan)), "element [0] is nan in the file"),
    "swapped rows": (change("words/table", lambda array: array[::-1]), "words/table of layer words: "),
    "shape": (change("dense/kernel", lambda array: array.T), "is float[5, 36] in the file, float[36, 5] in the model"),
    "dtype": (change("dense/bias", lambda array: array.astype(np.float64)), "is double[5] in the file, float[5]"),
    "text": (
        change("texts/list", set_element((0, 1), "bed")),
        "element [0, 1] is 'bed' in the file, 'bad'",
    ),
    "default": (change("word", lambda array: array + 1), "word of layer words: element [0] is 2 in the file, 1 in"),
    "missing": (drop("dense/bias"), "dense/bias of layer dense: is missing in the file"),
    "missing default": (drop("word"), "word of layer words: has no default in the file"),
    "unused": (
        lambda model: model.graph.initializer.append(numpy_helper.from_array(np.zeros(3), "more")),
        "more: stands in the file and not in the model",
    ),
    "new default": (
        lambda model: model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 8, 8)), "image")),
        "image of layer conv: has a default in the file and not in the model",
    ),
    "twice": (
        lambda model: model.graph.initializer.append(tensor(model, "dense/bias")),
        "dense/bias of layer dense: is given twice in the file",
    ),
    "bytes": (
        lambda model: setattr(tensor(model, "dense/bias"), "raw_data", bytes(16)),
        "ends after 16 bytes in the file",
    ),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_changed_tensors_are_named(kind: str) -> None:
    plant, text = TENSORS[kind]
    (problem,) = check(plant).problems
    assert text in str(problem)


def test_bits_that_print_alike_are_told_apart() -> None:
    def negate(array: Array) -> Array:
        array[0] = np.nan
        array[:1].view(np.uint32)[:] ^= 1
        return array

    graph = Graph("nan")
    x = add(graph, Input("x", parse_type("f32[3]")))
    bias = add(graph, constant(np.array([np.nan, 0, 1], np.float32), "bias"))
    add(graph, Output("y"), add(graph, Sub(), x, bias))
    (problem,) = check(change("bias", negate), graph).problems
    assert "is nan (0x7fc00001) in the file, nan (0x7fc00000) in the model; 1 of 3" in str(problem)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_every_bit_of_16_counts(dtype: str) -> None:
    graph = small_graph(dtype)
    assert check(lambda model: None, graph).passed
    (problem,) = check(change("dense/kernel", flip_last_bit), graph).problems
    assert problem.layer == "dense"
    assert "; 1 of 180 elements differ" in problem.text


def test_int64_constants_are_compared() -> None:
    model = to_model_proto(GRAPH)
    (name,) = (
        one.name for one in model.graph.initializer if one.name not in ("word", "texts/list") and one.data_type == 7
    )
    (problem,) = check(change(name, lambda array: array * 2)).problems
    assert "layer flatten" in str(problem)
    assert "72 in the file, 36 in the model" in str(problem)


# Nodes


def edit(which: str, /, **fields: Any) -> Plant:
    def plant(model: ModelProto) -> None:
        found = node(model, which)
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(found, name)[:] = value
            else:
                setattr(found, name, value)

    return plant


def set_attribute(op_type: str, name: str, value: object) -> Plant:
    def plant(model: ModelProto) -> None:
        found = node(model, op_type)
        kept = [one for one in found.attribute if one.name != name]
        del found.attribute[:]
        found.attribute.extend(kept + ([] if value is None else [helper.make_attribute(name, value)]))

    return plant


def add_node(*args: Any, **attributes: Any) -> Plant:
    return lambda model: model.graph.node.append(helper.make_node(*args, **attributes))


def swap_inputs(model: ModelProto) -> None:
    found = node(model, "Sub")
    found.input[:] = list(found.input)[::-1]


NODES: dict[str, tuple[Plant, str]] = {
    "attribute": (
        set_attribute("Conv", "strides", [1, 1]),
        "Conv of layer conv: attribute strides is [1, 1] (ints) in the file, [2, 2] (ints) in the model",
    ),
    "removed": (
        set_attribute("Conv", "strides", None),
        "attribute strides is missing in the file, [2, 2] (ints)",
    ),
    "added": (set_attribute("Relu", "alpha", 0.5), "attribute alpha is 0.5 (float) in the file; the model has none"),
    "type": (set_attribute("Gather", "axis", 0.0), "attribute axis is 0.0 (float) in the file, 0 (int) in the model"),
    "transposed": (set_attribute("Gemm", "transB", 1), "Gemm of layer dense: attribute transB is 1 (int)"),
    "twice": (
        lambda model: node(model, "Conv").attribute.extend(node(model, "Conv").attribute[:1]),
        "Conv of layer conv: has an attribute twice in the file",
    ),
    "operator": (edit("Sub", op_type="Add"), "Sub of layer difference: is Add in the file"),
    "domain": (edit("Relu", domain="com.microsoft"), "Relu of layer relu: is com.microsoft.Relu in the file"),
    "rewired": (
        edit("Relu", input=["image"]),
        "Relu of layer relu: input 0 is 'image' in the file, ",
    ),
    "swapped": (swap_inputs, "Sub of layer difference: input 0 is 'words/Gather/output' in the file, "),
    "absent": (
        lambda model: node(model, "Gemm").input.pop(),
        "Gemm of layer dense: has 2 inputs in the file, 3 in the model",
    ),
    "more outputs": (
        lambda model: node(model, "Relu").output.append("more"),
        "Relu of layer relu: has 2 outputs in the file, 1 in the model",
    ),
    "unused": (add_node("Abs", ["image"], ["more"]), "Abs: stands in the file and not in the model"),
    "without outputs": (add_node("Abs", ["image"], []), "Abs: stands in the file and not in the model"),
    "missing": (
        lambda model: model.graph.node.remove(node(model, "Relu")),
        "Relu of layer relu: is missing in the file",
    ),
    "a value twice": (
        add_node("Abs", ["image"], ["relu/Relu/output"]),
        "relu/Relu/output of layer flatten: is given twice in the file",
    ),
}


@pytest.mark.parametrize("kind", NODES)
def test_changed_nodes_are_named(kind: str) -> None:
    plant, text = NODES[kind]
    problems = check(plant).problems
    assert any(text in str(problem) for problem in problems)
    assert len(problems) <= 2


# The model


def rename_size(model: ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "batch"


def set_type(model: ModelProto) -> None:
    model.graph.value_info[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def set_size(model: ModelProto) -> None:
    model.graph.value_info[0].type.tensor_type.shape.dim[1].dim_value = 9


def swap_outputs(model: ModelProto) -> None:
    outputs = list(model.graph.output)[::-1]
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def add_function(model: ModelProto) -> None:
    body = [helper.make_node("Abs", ["x"], ["y"])]
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], body, [helper.make_opsetid("", 20)]))


MODEL: dict[str, tuple[Plant, str]] = {
    "stated type": (
        set_type,
        "conv/Conv/output: is double[batch, 4, 3, 3] in the file, float[",
    ),
    "stated size": (set_size, "conv/Conv/output: is float[batch, 9, 3, 3] in the file, float[batch, 4, 3, 3] in the"),
    "order": (swap_outputs, "the outputs are both, y in the file, y, both in the model"),
    "function": (add_function, "the model of the file has functions, which the model has not"),
    "annotation": (
        lambda model: model.graph.quantization_annotation.add(tensor_name="image"),
        "the graph of the file has quantization_annotation",
    ),
    "two versions": (
        lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx", 13)),
        "the domain 'ai.onnx' is imported twice, in other versions",
    ),
}


@pytest.mark.parametrize("kind", MODEL)
def test_changes_of_the_model_are_named(kind: str) -> None:
    plant, text = MODEL[kind]
    (problem,) = check(plant).problems
    assert text in str(problem)


def test_one_name_of_two_sizes_is_wrong() -> None:
    graph = Graph("sizes")
    x = add(graph, Input("x", parse_type("f32[batch, length]")))
    add(graph, Output("y"), add(graph, Relu(), x))

    def rename(*names: str) -> Plant:
        def plant(model: ModelProto) -> None:
            for value in (model.graph.input[0], model.graph.output[0]):
                for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
                    dim.dim_param = name

        return plant

    assert check(rename("rows", "columns"), graph).passed
    assert not check(rename("rows", "rows"), graph).passed


def test_another_opset_is_named() -> None:
    graph = Graph("reduced")
    x = add(graph, Input("x", parse_type("f32[batch, 3]")))
    add(graph, Output("y"), add(graph, ReduceMax((1,), True), x, layer="largest"))
    model = to_model_proto(graph, opset=17)
    assert hold_written(graph, model.SerializeToString()).statement.passed
    model.opset_import[0].version = 18
    problems = [str(one) for one in hold_written(graph, model.SerializeToString()).statement.problems]
    assert "ReduceMax of layer largest: has 1 inputs in the file, 2 in the model" in problems


# Subgraphs


def branching(value: float = 1.0, op_type: str = "Add") -> ModelProto:
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["x", name], [f"{name}_sum"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_sum", TensorProto.FLOAT, [3])],
            [numpy_helper.from_array(np.array([number], np.float32), name)],
        )
        for op, name, number in ((op_type, "then", value), ("Mul", "else", 2.0))
    ]
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])],
        "branching",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("value", "op_type", "text"),
    [
        (1.0, "Add", ""),
        (1.5, "Add", "then: element [0] is 1.5 in the file"),
        (1, "Sub", "attribute then_branch: Sub: stands in the file and not in the model"),
    ],
)
def test_subgraphs_are_compared(value: float, op_type: str, text: str) -> None:
    graph = import_graph(branching())
    changed = to_model_proto(import_graph(branching(value, op_type)), opset=20)
    problems = hold_written(graph, changed.SerializeToString()).statement.problems
    assert any(text in str(problem) for problem in problems) == bool(text)
    assert text or not problems


# What says the same


def rename_tensor(model: ModelProto) -> None:
    tensor(model, "dense/kernel").name = node(model, "Gemm").input[1] = "w"


def as_constant_node(model: ModelProto) -> None:
    stored = tensor(model, "dense/kernel")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["dense/kernel"], value=stored))
    model.graph.initializer.remove(stored)


def typed_data(model: ModelProto) -> None:
    stored = tensor(model, "dense/kernel")
    values = numpy_helper.to_array(stored).ravel().tolist()
    stored.CopyFrom(helper.make_tensor("dense/kernel", stored.data_type, stored.dims, values))


def sparse(model: ModelProto) -> None:
    stored = tensor(model, "dense/kernel")
    array = numpy_helper.to_array(stored)
    values = numpy_helper.from_array(array.ravel(), "dense/kernel")
    indices = numpy_helper.from_array(np.arange(array.size), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, array.shape))
    model.graph.initializer.remove(stored)


def reorder(model: ModelProto) -> None:
    nodes = [node(model, op) for op in ("Gather", "Concat", "Conv", "Relu", "Reshape", "Gemm", "Sub")]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def forget_types(model: ModelProto) -> None:
    del model.graph.value_info[:]


def forget_names(model: ModelProto) -> None:
    for one in model.graph.node:
        one.name, one.doc_string = "", "a node"
        del one.metadata_props[:]


SAME: dict[str, Plant] = {
    "the default of an attribute": set_attribute("Conv", "group", 1),
    "a default left out": set_attribute("Gather", "axis", None),
    "another name of a constant": rename_tensor,
    "a Constant node": as_constant_node,
    "typed data": typed_data,
    "a sparse tensor": sparse,
    "another order": reorder,
    "no types": forget_types,
    "no names of nodes": forget_names,
    "metadata": lambda model: model.metadata_props.add(key="a", value="b"),
    "absent inputs": lambda model: node(model, "Conv").input.append(""),
    "an unused domain": lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3)),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_says_the_same_passes(kind: str) -> None:
    statement = check(SAME[kind])
    assert statement.passed, str(statement)


def test_a_sparse_tensor_that_differs_is_named() -> None:
    def plant(model: ModelProto) -> None:
        sparse(model)
        stored = model.graph.sparse_initializer[0]
        stored.values.raw_data = stored.values.raw_data[:-4] + np.float32(9).tobytes()

    (problem,) = check(plant).problems
    assert "dense/kernel of layer dense: element [35, 4] is 9.0 in the file" in str(problem)


def test_a_renamed_constant_that_differs_is_named() -> None:
    def plant(model: ModelProto) -> None:
        change("dense/kernel", flip_last_bit)(model)
        rename_tensor(model)

    (problem,) = check(plant).problems
    assert "Gemm of layer dense: input 1 is 'w' in the file, 'dense/kernel' in the model" in str(problem)


def test_of_many_differences_some_are_named() -> None:
    graph = Graph("many")
    x = add(graph, Input("x", parse_type("f32[3]")))
    for _ in range(60):
        x = add(graph, Relu(), x)
    add(graph, Output("y"), x)

    def plant(model: ModelProto) -> None:
        for one in model.graph.node:
            one.op_type = "Abs"

    problems = check(plant, graph).problems
    assert len(problems) == 51
    assert problems[-1].text == "10 more differences"


# External data


@pytest.fixture
def external(tmp_path: Path) -> tuple[Graph, Path]:
    graph, random = Graph("large"), np.random.default_rng(0)
    x = add(graph, Input("x", parse_type("f32[batch, 64]")))
    for name in ("first", "second"):
        kernel = add(graph, constant(random.normal(size=(64, 64)).astype(np.float32), f"{name}/kernel"))
        x = add(graph, Dense(), x, kernel, layer=name)
    add(graph, Output("y"), x)
    export_graph(graph, tmp_path / "m.onnx", external_data="yes")
    return graph, tmp_path / "m.onnx"


def entries(path: Path, function: Callable[[dict[str, dict[str, str]]], object]) -> None:
    """Change the entries of the external data of a file's tensors, by their names."""
    model = onnx.load(path, load_external_data=False)
    given = {one.name: {entry.key: entry.value for entry in one.external_data} for one in model.graph.initializer}
    function(given)
    for one in model.graph.initializer:
        del one.external_data[:]
        for key, value in given[one.name].items():
            one.external_data.add(key=key, value=value)
    onnx.save(model, path)


def test_external_data_is_compared(external: tuple[Graph, Path]) -> None:
    graph, path = external
    assert hold_written(graph, path).statement.passed
    entries(path, lambda given: [one.pop("length") for one in given.values()])
    assert hold_written(graph, path).statement.passed
    (data,) = path.parent.glob("*.data")
    content = bytearray(data.read_bytes())
    content[4 * 130] ^= 1
    data.write_bytes(content)
    (problem,) = hold_written(graph, path).statement.problems
    assert "first/kernel of layer first: element [2, 2] is " in str(problem)


def test_external_data_at_another_offset_is_named(external: tuple[Graph, Path]) -> None:
    graph, path = external
    entries(path, lambda given: given["first/kernel"].update(offset=given["second/kernel"]["offset"]))
    (problem,) = hold_written(graph, path).statement.problems
    assert problem.layer == "first"
    assert "4,096 of 4,096 elements differ" in problem.text


def test_external_data_of_another_length_is_named(external: tuple[Graph, Path]) -> None:
    graph, path = external
    entries(path, lambda given: given["first/kernel"].update(length="8192"))
    (problem,) = hold_written(graph, path).statement.problems
    assert "ends after 8,192 bytes" in str(problem)


def test_a_transposed_weight_is_compared_in_its_order() -> None:
    graph = Graph("transposed")
    x = add(graph, Input("x", parse_type("f32[batch, 700]")))
    kernel = np.asfortranarray(np.random.default_rng(0).normal(size=(700, 600)).astype(np.float32))
    add(graph, Output("y"), add(graph, Dense(), x, add(graph, constant(kernel, "kernel")), layer="dense"))
    assert check(lambda model: None, graph).passed
    (problem,) = check(change("kernel", set_element((650, 7), 0)), graph).problems
    assert "element [650, 7] is 0.0 in the file" in str(problem)


# Untrusted files


def test_broken_files_are_refused_or_compared() -> None:
    contents = []
    for plant in (lambda model: None, as_constant_node, sparse):
        model = to_model_proto(GRAPH)
        plant(model)
        contents.append(model.SerializeToString())
    random = np.random.default_rng(0)
    verdicts = set()
    for number in range(300):
        content = bytearray(contents[number % 3])
        position = random.integers(len(content))
        content[position : position + random.integers(2)] = random.bytes(1)
        try:
            verdicts.add(hold_written(GRAPH, bytes(content)).statement.verdict)
        except KirError as error:
            verdicts.add(type(error).__name__)
    assert verdicts >= {"pass", "FAIL", "FormatError"}


@pytest.mark.parametrize("part", ["values", "indices"])
def test_sparse_tensors_lie_in_the_folder_of_the_model(part: str, tmp_path: Path) -> None:
    model = to_model_proto(GRAPH)
    sparse(model)
    stored = getattr(model.graph.sparse_initializer[0], part)
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="../w.data")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "w.data").write_bytes(bytes(1440))
    with pytest.raises(FormatError, match="expected a file in the model's own folder"):
        hold_written(GRAPH, tmp_path / "model" / "m.onnx")
