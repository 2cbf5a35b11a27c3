"""Files that want to do harm, each made from a good one: (name, what the error must say, how to make it).

They are made without Keras. `CANARY` is the file that any code in them would write.
"""

from __future__ import annotations

import base64
import io
import json
import marshal
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CANARY = Path(tempfile.gettempdir(), "kir-hostile-canary")
KERAS_3 = {"keras_version": "3.10.0"}


# The good file


def tensor(layer: Any, call: Any = 0, output: Any = 0) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [layer, call, output]},
    }


def layer(
    class_name: str, name: Any, config: Any, *inputs: Any, module: Any = "keras.layers", **more: Any
) -> dict[str, Any]:
    nodes = [{"args": list(inputs), "kwargs": {}}] if inputs else []
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config} if isinstance(config, dict) else config,
        "registered_name": None,
        "name": name,
        "inbound_nodes": nodes,
        **more,
    }


def model(*layers: Any, inputs: Any = None, outputs: Any = None, **config: Any) -> dict[str, Any]:
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": list(layers),
            "input_layers": inputs or ["x", 0, 0],
            "output_layers": outputs or ["d", 0, 0],
            **config,
        },
        "registered_name": "Functional",
    }


INPUT = layer("InputLayer", "x", {"batch_shape": [None, 4], "dtype": "float32"})
DENSE = layer("Dense", "d", {"units": 3}, tensor("x"))
GOOD = model(INPUT, DENSE)


def weights(write: Callable[[h5py.File], None] | None = None, **options: Any) -> bytes:
    """Return the HDF5 file of `GOOD`, or what `write` puts into one."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        if write is None:
            file["layers/dense/vars/0"] = np.ones((4, 3), np.float32)
            file["layers/dense/vars/1"] = np.ones(3, np.float32)
        else:
            write(file)
    return buffer.getvalue()


def archive(config: Any = GOOD, h5: bytes | None = None, method: int = zipfile.ZIP_STORED, more: Any = ()) -> bytes:
    """Return a `.keras` file; `config` may be bytes or a document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("metadata.json", json.dumps(KERAS_3))
        file.writestr("config.json", config if isinstance(config, bytes) else json.dumps(config))
        file.writestr("model.weights.h5", weights() if h5 is None else h5)
        for name, content in more:
            file.writestr(name, content)
    return buffer.getvalue()


def whole(config: Any = GOOD, write: Callable[[h5py.File], None] | None = None) -> bytes:
    """Return a whole-model HDF5 file."""

    def write_all(file: h5py.File) -> None:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        file.attrs["keras_version"] = "3.10.0"
        if write is not None:
            write(file)
            return
        group = file.create_group("model_weights/d")
        group.attrs["weight_names"] = ["d/kernel", "d/bias"]
        group["d/kernel"], group["d/bias"] = np.ones((4, 3), np.float32), np.ones(3, np.float32)

    return weights(write_all)


class Execute:
    """Unpickled, it writes the canary."""

    def __reduce__(self) -> Any:
        return (exec, (f"open({str(CANARY)!r}, 'w')",))


def bytecode() -> str:
    code = compile(f"open({str(CANARY)!r}, 'w')", "hostile", "exec")
    return base64.b64encode(marshal.dumps(code)).decode()


# Ways of harm


def patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def directory_entry(content: bytes, name: bytes) -> int:
    """Where the directory of a zip file describes a member."""
    return content.rindex(name) - 46


def nested_models(depth: int, calls: int) -> Any:
    """Return a model that calls a model `calls` times, that calls a model …: depth levels of it."""
    inner = GOOD
    for level in range(depth):
        x, layers = "x", [INPUT | {"config": {"name": "x", "batch_shape": [None, 4]}}]
        nodes = []
        for index in range(calls):
            nodes.append({"args": [tensor(x, max(0, index - 1))], "kwargs": {}})
            x = "i"
        config = inner["config"] if level else model(INPUT, layer("Dense", "d", {"units": 4}, tensor("x")))["config"]
        layers.append(layer("Functional", "i", {}, module="keras") | {"config": config, "inbound_nodes": nodes})
        inner = model(*layers, outputs=["i", calls, 0])
    return inner


def self_loop() -> Any:
    return model(INPUT, layer("Dense", "d", {"units": 3}, tensor("d")))


def mutual_loop() -> Any:
    return model(INPUT, layer("Dense", "e", {"units": 3}, tensor("d")), layer("Dense", "d", {"units": 3}, tensor("e")))


def with_config(**changes: Any) -> Any:
    return model(INPUT, DENSE | {"config": {**DENSE["config"], **changes}})


def with_input(**changes: Any) -> Any:
    return model(INPUT | {"config": {**INPUT["config"], **changes}}, DENSE)


def over(shape: Any, class_name: str, **config: Any) -> Any:
    """Return a model of one layer over an input of this shape."""
    return model(
        INPUT | {"config": {**INPUT["config"], "batch_shape": shape}}, layer(class_name, "d", config, tensor("x"))
    )


def with_operation(name: str, config: Any = None, *arguments: Any) -> Any:
    made = layer(
        name, "d", config or {}, *(arguments or (tensor("x"),)), module="keras.src.ops.numpy", registered_name=name
    )
    return model(INPUT, made)


def external_link(file: h5py.File) -> None:
    file["layers/dense/vars/1"] = np.ones(3, np.float32)
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["kernel"] = np.ones((4, 3), np.float32)
    file["layers/dense/vars/1"] = np.ones(3, np.float32)
    file["layers/dense/vars/0"] = h5py.SoftLink("/kernel")


def external_storage(file: h5py.File) -> None:
    file["layers/dense/vars/1"] = np.ones(3, np.float32)
    file.create_dataset("layers/dense/vars/0", (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "kernel", shape=(4, 3))
    file["layers/dense/vars/1"] = np.ones(3, np.float32)
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def unknown_filter(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", data=np.ones((4, 3), np.float32), compression="lzf")
    file["layers/dense/vars/1"] = np.ones(3, np.float32)


def group_instead_of_dataset(file: h5py.File) -> None:
    file.create_group("layers/dense/vars/0")
    file["layers/dense/vars/1"] = np.ones(3, np.float32)


def group_that_contains_itself(file: h5py.File) -> None:
    file.create_group("layers/dense/vars")
    file["layers/dense/vars/0"] = file["layers"]
    file["layers/dense/vars/1"] = np.ones(3, np.float32)


def dataset_of(values: Any) -> Callable[[h5py.File], None]:
    def write(file: h5py.File) -> None:
        file["layers/dense/vars/0"] = values
        file["layers/dense/vars/1"] = np.ones(3, np.float32)

    return write


def chunk_bomb(file: h5py.File) -> None:
    """Terabytes, of which nothing is in the file."""
    file.create_dataset("layers/dense/vars/0", (4, 1 << 38), "f4", chunks=(4, 1 << 20), compression="gzip")
    file.create_dataset("layers/dense/vars/1", (1 << 38,), "f4", chunks=(1 << 20,), compression="gzip")


def unallocated(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (4, 1 << 26), "f4")
    file.create_dataset("layers/dense/vars/1", (1 << 26,), "f4")


def gzip_bomb(file: h5py.File) -> None:
    """Half a gigabyte of zeros in half a megabyte."""
    zeros = np.zeros((4, 1 << 23), np.float32)
    for index in range(4):
        file.create_dataset(
            f"layers/dense{f'_{index}' * bool(index)}/vars/0", data=zeros, chunks=(4, 1 << 20), compression="gzip"
        )
        file.create_dataset(
            f"layers/dense{f'_{index}' * bool(index)}/vars/1", data=zeros[0], chunks=(1 << 20,), compression="gzip"
        )


def gzip_bomb_model() -> Any:
    names = ["d", "e", "f", "g"]
    wide = [layer("Dense", name, {"units": 1 << 23}, tensor("x")) for name in names]
    return model(INPUT, *wide, outputs=[[name, 0, 0] for name in names])


def legacy_names(names: Any) -> Callable[[h5py.File], None]:
    def write(file: h5py.File) -> None:
        group = file.create_group("model_weights/d")
        group.attrs["weight_names"] = names
        group["d/kernel"], group["d/bias"] = np.ones((4, 3), np.float32), np.ones(3, np.float32)

    return write


def lambda_layer(function: Any, **more: Any) -> Any:
    return model(INPUT, layer("Lambda", "d", {"function": function, "arguments": {}, **more}, tensor("x")))


KERAS: dict[str, tuple[str, Callable[..., bytes]]] = {
    # Not what the name says
    "empty": ("not a .keras file", lambda: b""),
    "text": ("not a .keras file", lambda: b"hello" * 1000),
    "pickle": ("is a pickle", lambda: pickle.dumps(Execute())),
    **{f"cut_at_{n}_of_8": ("", lambda n=n: archive()[: len(archive()) * n // 8]) for n in range(1, 8)},
    "cut_directory": ("", lambda: archive()[:-10]),
    "zeros_in_the_middle": ("", lambda: patched(archive(), 200, bytes(400))),
    # The archive
    "duplicate_config": ("twice", lambda: archive(more=[("config.json", "{}")])),
    "duplicate_weights": ("twice", lambda: archive(more=[("model.weights.h5", weights())])),
    "path_traversal_only": ("has no config.json", lambda: archive_of({"../config.json": json.dumps(GOOD)})),
    "absolute_path_only": ("has no config.json", lambda: archive_of({"/config.json": json.dumps(GOOD)})),
    "no_weights": ("has no model.weights.h5", lambda: archive_of({"config.json": json.dumps(GOOD)})),
    "encrypted": ("encrypted", lambda: patched(archive(), directory_entry(archive(), b"config.json") + 8, b"\x01\x00")),
    "bzip2": ("compressed by method 12", lambda: archive(method=zipfile.ZIP_BZIP2)),
    "lzma": ("compressed by method 14", lambda: archive(method=zipfile.ZIP_LZMA)),
    "wrong_checksum": ("damaged", lambda: archive().replace(b'"units": 3', b'"units": 7')),
    "zip_bomb_config": ("would unpack|bytes; at most", lambda: archive(b" " * (40 << 20), method=zipfile.ZIP_DEFLATED)),
    "zip_bomb_weights": ("would unpack", lambda: archive(h5=bytes(300 << 20), method=zipfile.ZIP_DEFLATED)),
    "declares_less_than_it_has": ("", lambda: understated(archive(b" " * (1 << 20), method=zipfile.ZIP_DEFLATED))),
    "declares_terabytes": ("", lambda: overstated(archive())),
    "member_behind_the_end": ("not where the directory says", lambda: moved(archive())),
    "hundred_thousand_members": (
        "directory|not a .keras file",
        lambda: archive(more=[(f"{i}" * 20, "") for i in range(60_000)]),
    ),
    # The document
    "not_json": ("not JSON", lambda: archive(b"import os")),
    "not_utf8": ("not JSON", lambda: archive(b'"\xff\xfe"')),
    "deep_lists": ("nested too deeply", lambda: archive(b"[" * 100_000 + b"]" * 100_000)),
    "deep_dicts": ("nested too deeply", lambda: archive(b'{"a":' * 300 + b"1" + b"}" * 300)),
    "deep_argument": (
        "nested too deeply",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, deep(tensor("x"), 250)))),
    ),
    "many_items": ("items; at most", lambda: archive(b"[" + b"0," * 5_000_000 + b"0]")),
    "many_empty_dicts": ("items; at most", lambda: archive(b"[" + b"{}," * 3_000_000 + b"0]")),
    "huge_integer": ("bits; at most 63", lambda: archive(b'{"class_name": ' + b"9" * 4000 + b"}")),
    "longer_integer": ("not JSON", lambda: archive(b'{"class_name": ' + b"9" * 100_000 + b"}")),
    "null": ("no layer with a class_name", lambda: archive(b"null")),
    "list": ("no layer with a class_name", lambda: archive(b"[]")),
    "nan_document": ("no layer with a class_name", lambda: archive(b"NaN")),
    "no_config": ("the config of", lambda: archive({"class_name": "Functional"})),
    "config_is_text": (
        "the config of",
        lambda: archive({"class_name": "Functional", "config": "x", "module": "keras"}),
    ),
    "class_name_is_a_list": ("no layer with a class_name", lambda: archive({"class_name": ["Dense"], "config": {}})),
    "layers_is_a_number": ("no list of layers", lambda: archive(model(layers=3))),
    "layer_is_null": ("no layer with a class_name", lambda: archive(model(None))),
    "not_a_model": ("expected a model", lambda: archive(layer("Dense", "d", {"units": 3}))),
    # Code
    "lambda_bytecode": (
        "bytecode, which is never run",
        lambda: archive(
            lambda_layer(
                {"class_name": "__lambda__", "config": {"code": bytecode(), "defaults": None, "closure": None}}
            )
        ),
    ),
    "old_lambda_bytecode": (
        "bytecode, which is never run",
        lambda: archive(lambda_layer([bytecode(), None, None], function_type="lambda")),
    ),
    "lambda_output_shape_bytecode": (
        "bytecode, which is never run",
        lambda: archive(
            lambda_layer(
                {"class_name": "function", "config": "relu", "module": "builtins"},
                output_shape={"class_name": "__lambda__", "config": {"code": bytecode()}},
            )
        ),
    ),
    "lambda_names_os_system": (
        "of which a file holds only the name",
        lambda: archive(
            lambda_layer({"class_name": "function", "config": "system", "module": "os", "registered_name": "system"})
        ),
    ),
    "lambda_names_a_builtin": (
        "of which a file holds only the name",
        lambda: archive(
            lambda_layer({"class_name": "function", "config": "exec", "module": "builtins", "registered_name": "exec"})
        ),
    ),
    "class_of_another_module": (
        "not a class of Keras",
        lambda: archive(model(INPUT, layer("Popen", "d", {"args": "true"}, tensor("x"), module="subprocess"))),
    ),
    "keras_utility_as_layer": (
        "get_file of module 'keras.utils' is not a class of Keras",
        lambda: archive(
            model(INPUT, layer("get_file", "d", {"origin": "file:///etc/passwd"}, tensor("x"), module="keras.utils"))
        ),
    ),
    "class_registered_elsewhere": (
        "not a class of Keras",
        lambda: archive(model(INPUT, DENSE | {"registered_name": "evil>Dense"})),
    ),
    "activation_of_another_module": (
        "only the name",
        lambda: archive(
            with_config(
                activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
            )
        ),
    ),
    "activation_is_dunder": ("unknown activation", lambda: archive(with_config(activation="__import__"))),
    "operation_is_dunder": ("not supported", lambda: archive(with_operation("__import__"))),
    "operation_is_no_function_of_tensors": (
        "not supported",
        lambda: archive(with_operation("SetFloatx", {"value": "float64"})),
    ),
    "wrapper_around_code": (
        "not a class of Keras",
        lambda: archive(
            model(INPUT, layer("TimeDistributed", "d", {"layer": layer("system", "s", {}, module="os")}, tensor("x")))
        ),
    ),
    # Layers
    "negative_units": ("units must be", lambda: archive(with_config(units=-1))),
    "huge_units": ("cannot be used as it is described", lambda: archive(with_config(units=1 << 60))),
    "units_is_a_list": ("units must be", lambda: archive(with_config(units=[3]))),
    "units_is_true": ("units must be", lambda: archive(with_config(units=True))),
    "nan_rate": (
        "rate must be",
        lambda: archive(model(INPUT, layer("Dropout", "d", {"rate": float("nan")}, tensor("x")))),
    ),
    "infinite_rate": (
        "rate must be",
        lambda: archive(model(INPUT, layer("Dropout", "d", {"rate": float("inf")}, tensor("x")))),
    ),
    "unknown_argument": ("has no argument", lambda: archive(with_config(command="true"))),
    "self_argument": ("", lambda: archive(with_config(self=1))),
    "name_is_a_list": ("", lambda: archive(with_config(name=["d"]))),
    "dtype_is_a_list": ("", lambda: archive(with_config(dtype=["float32"]))),
    "dtype_is_object": ("", lambda: archive(with_config(dtype="object"))),
    "dtype_without_name": ("", lambda: archive(with_config(dtype={"class_name": "DTypePolicy", "config": []}))),
    "policy_config_is_text": (
        "",
        lambda: archive(with_config(dtype={"class_name": "DTypePolicy", "config": "float32"})),
    ),
    "negative_input": ("batch_shape must be", lambda: archive(with_input(batch_shape=[None, -4]))),
    "text_in_input_shape": ("batch_shape is", lambda: archive(with_input(batch_shape=[None, "4"]))),
    "huge_input": ("there can be no tensor of type", lambda: archive(with_input(batch_shape=[1 << 40, 1 << 40]))),
    "input_shape_is_text": ("batch_shape must be", lambda: archive(with_input(batch_shape="44"))),
    "input_dtype_is_a_dict": ("", lambda: archive(with_input(dtype={"a": 1}))),
    "quantized": (
        "is quantized",
        lambda: archive(
            with_config(dtype={"class_name": "QuantizedDTypePolicy", "config": {"name": "int8_from_float32"}})
        ),
    ),
    "lora": ("LoRA", lambda: archive(with_config(lora_rank=4))),
    "huge_repeat": (
        "elements; at most",
        lambda: archive(model(INPUT, layer("RepeatVector", "d", {"n": 1 << 50}, tensor("x")))),
    ),
    "true_as_a_size": ("batch_shape must be", lambda: archive(with_input(batch_shape=[None, True]))),
    "product_over_64_bits": ("no tensor of type", lambda: archive(with_input(batch_shape=[None, 1 << 62, 4]))),
    "huge_adaptive_pooling": (
        "out of all proportion",
        lambda: archive(over([None, 8, 2], "AdaptiveAveragePooling1D", output_size=1 << 31)),
    ),
    "huge_gates": (
        "gates of 4000000000 units",
        lambda: archive(over([None, 2, 4, 4, 2], "ConvLSTM2D", filters=10**9, kernel_size=2)),
    ),
    "huge_multi_hot": (
        "out of all proportion",
        lambda: archive(over([None, 4], "CategoryEncoding", num_tokens=1 << 31, output_mode="multi_hot")),
    ),
    "huge_one_hot": ("out of all proportion", lambda: archive(with_operation("OneHot", {"num_classes": 1 << 50}))),
    "endless_diff": ("out of all proportion", lambda: archive(with_operation("Diff", {"n": 1 << 40}))),
    "endless_split": (
        "out of all proportion",
        lambda: archive(with_operation("Split", {"indices_or_sections": 1 << 40})),
    ),
    "huge_broadcast": ("elements; at most", lambda: archive(with_operation("BroadcastTo", {"shape": [1 << 40, 4]}))),
    "broken_einsum": ("", lambda: archive(with_operation("Einsum", {"subscripts": "," * 1000}))),
    "einsum_of_many_letters": ("", lambda: archive(with_operation("Einsum", {"subscripts": 7}))),
    "array_of_objects": (
        "malformed",
        lambda: archive(
            with_operation(
                "Add",
                {},
                tensor("x"),
                {"class_name": "__numpy__", "config": {"value": [[1], [1, 2]], "dtype": "float32"}},
            )
        ),
    ),
    "array_of_unknown_dtype": (
        "malformed",
        lambda: archive(
            with_operation("Add", {}, tensor("x"), {"class_name": "__numpy__", "config": {"value": [1], "dtype": "O"}})
        ),
    ),
    "array_without_value": (
        "malformed",
        lambda: archive(with_operation("Add", {}, tensor("x"), {"class_name": "__tensor__", "config": {}})),
    ),
    "slice_of_text": (
        "malformed",
        lambda: archive(
            with_operation(
                "GetItem",
                {},
                tensor("x"),
                {"class_name": "__slice__", "config": {"start": "a", "stop": None, "step": None}},
            )
        ),
    ),
    "slice_step_0": (
        "step",
        lambda: archive(
            with_operation(
                "GetItem",
                {},
                tensor("x"),
                [{"class_name": "__slice__", "config": {"start": None, "stop": None, "step": 0}}],
            )
        ),
    ),
    # Calls
    "loop_of_one": ("depends on its own output", lambda: archive(self_loop())),
    "loop_of_two": ("depends on its own output", lambda: archive(mutual_loop())),
    "two_layers_of_a_name": ("are named 'd'", lambda: archive(model(INPUT, DENSE, DENSE))),
    "unknown_layer": (
        "there is no call 0 of a layer",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, tensor("y")))),
    ),
    "unknown_call": (
        "there is no call 7",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, tensor("x", 7)))),
    ),
    "unknown_output": (
        "output 7 is asked for",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, tensor("x", 0, 7)))),
    ),
    "negative_call": (
        "malformed|refers to no tensor",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, tensor("x", -1)))),
    ),
    "call_is_text": (
        "refers to no tensor",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, tensor("x", "0")))),
    ),
    "call_without_a_tensor": (
        "without any tensor",
        lambda: archive(model(INPUT, layer("Dense", "d", {"units": 3}, 5))),
    ),
    "unknown_keyword": (
        "is called with",
        lambda: archive(model(INPUT, DENSE | {"inbound_nodes": [{"args": [tensor("x")], "kwargs": {"evil": 1}}]})),
    ),
    "calls_are_null": ("expected a list of calls", lambda: archive(model(INPUT, DENSE | {"inbound_nodes": None}))),
    "call_is_null": ("a call has the inputs", lambda: archive(model(INPUT, DENSE | {"inbound_nodes": [None]}))),
    "old_call_of_numbers": (
        "a call has the inputs",
        lambda: archive(model(INPUT, DENSE | {"inbound_nodes": [[[1, 2, 3]]]})),
    ),
    "no_outputs": ("refers to no tensor", lambda: archive(model(INPUT, DENSE, output_layers=[]))),
    "outputs_of_nothing": ("there is no call", lambda: archive(model(INPUT, DENSE, outputs=["z", 0, 0]))),
    "outputs_are_a_number": ("refers to no tensor", lambda: archive(model(INPUT, DENSE, outputs=5))),
    "inputs_are_outputs": ("", lambda: archive(model(INPUT, DENSE, inputs=["d", 0, 0], outputs=["x", 0, 0]))),
    "exponential_models": ("unrolls to more than", lambda: archive(nested_models(24, 2))),
    "deep_models": ("nested too deeply", lambda: archive(nested_models(100, 1))),
    # The weights
    "weights_are_text": ("cannot read", lambda: archive(h5=b"hello" * 100)),
    "weights_are_empty": ("cannot read", lambda: archive(h5=b"")),
    **{
        f"weights_cut_at_{n}_of_6": ("", lambda n=n: archive(h5=weights()[: len(weights()) * n // 6]))
        for n in range(1, 6)
    },
    "weights_of_another_model": (
        "kernel of layer d .* has shape",
        lambda: archive(h5=weights(dataset_of(np.ones((9, 9), np.float32)))),
    ),
    "no_weights_inside": ("is missing", lambda: archive(h5=weights(lambda file: None))),
    "external_link": ("links are not followed", lambda: archive(h5=weights(external_link))),
    "soft_link": ("links are not followed", lambda: archive(h5=weights(soft_link))),
    "external_storage": ("in another file", lambda: archive(h5=weights(external_storage))),
    "virtual_dataset": ("in another file", lambda: archive(h5=weights(virtual_dataset))),
    "unknown_filter": ("filters", lambda: archive(h5=weights(unknown_filter))),
    "group_instead_of_dataset": ("is missing", lambda: archive(h5=weights(group_instead_of_dataset))),
    "group_that_contains_itself": ("is missing", lambda: archive(h5=weights(group_that_contains_itself))),
    "text_instead_of_numbers": ("expected an array of numbers", lambda: archive(h5=weights(dataset_of("x" * 12)))),
    "structs_instead_of_numbers": (
        "expected an array of numbers",
        lambda: archive(h5=weights(dataset_of(np.zeros((4, 3), [("a", "f4")])))),
    ),
    "opaque_bytes": ("elements of 7 bytes", lambda: archive(h5=weights(dataset_of(np.zeros((4, 3), "V7"))))),
    "scalar_instead_of_matrix": ("has shape", lambda: archive(h5=weights(dataset_of(np.float32(1))))),
    "chunk_bomb": ("", lambda: archive(with_config(units=1 << 38), weights(chunk_bomb))),
    "unallocated": ("of which 0 are in the file", lambda: archive(with_config(units=1 << 26), weights(unallocated))),
    "gzip_bomb": ("would unpack", lambda: archive(gzip_bomb_model(), weights(gzip_bomb))),
}

HDF5: dict[str, tuple[str, Callable[..., bytes]]] = {
    "h5_empty": ("cannot read", lambda: b""),
    "h5_text": ("cannot read", lambda: b"\x89HDF\r\n\x1a\n" + b"x" * 5000),
    **{f"h5_cut_at_{n}_of_8": ("", lambda n=n: whole()[: len(whole()) * n // 8]) for n in range(1, 8)},
    "h5_weights_only": ("holds weights only", lambda: weights()),
    "h5_config_is_a_number": ("holds no text", lambda: weights(lambda file: file.attrs.__setitem__("model_config", 5))),
    "h5_config_is_an_array": (
        "holds no text",
        lambda: weights(lambda file: file.attrs.__setitem__("model_config", ["a"] * 50)),
    ),
    "h5_config_is_code": ("not JSON", lambda: whole("__import__('os')")),
    "h5_no_model_weights": ("has 0 weights", lambda: whole(write=lambda file: None)),
    "h5_too_many_names": ("has 500 weights", lambda: whole(write=legacy_names(["d/kernel"] * 500))),
    "h5_names_are_numbers": ("holds no text", lambda: whole(write=legacy_names([1, 2]))),
    "h5_names_lead_up": ("is missing|stands where", lambda: whole(write=legacy_names(["../../kernel", "/d/bias"]))),
    "h5_names_swapped": ("stands where", lambda: whole(write=legacy_names(["d/bias", "d/kernel"]))),
    "h5_name_is_a_matrix": ("holds no text", lambda: whole(write=legacy_names(np.ones((2, 2))))),
    "h5_group_is_a_link": (
        "links are not followed",
        lambda: whole(write=lambda file: file.__setitem__("model_weights", h5py.ExternalLink("/etc/passwd", "/"))),
    ),
}


# More ways of harm, named above


def archive_of(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def deep(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def understated(content: bytes) -> bytes:
    """Say in the directory that config.json is 10 bytes long."""
    return patched(content, directory_entry(content, b"config.json") + 24, struct.pack("<L", 10))


def overstated(content: bytes) -> bytes:
    """Say in the directory that config.json is 4 GB long."""
    return patched(content, directory_entry(content, b"config.json") + 20, struct.pack("<LL", 0xFFFFFFF0, 0xFFFFFFF0))


def moved(content: bytes) -> bytes:
    """The directory says that config.json begins where nothing begins."""
    return patched(content, directory_entry(content, b"config.json") + 42, struct.pack("<L", len(content) // 2))


ALL = {f"{name}.keras": case for name, case in KERAS.items()} | {f"{name}.h5": case for name, case in HDF5.items()}


def write_all(folder: Path) -> list[Path]:
    """Return every file, written into a folder."""
    for name, (_, make) in ALL.items():
        (folder / name).write_bytes(make())
    return [folder / name for name in ALL]
