"""The program that runs a model in the installed Keras, for `against_keras`: no part of kir, and nothing imports it.

It is given a JSON request as its argument, answers it with a line of JSON, and then each line of standard input, the
name of a `.npz` file of inputs, with another line, once it has put the outputs beside it. The end of standard input is
its end.

Keras and its backend are imported here alone. Whatever they, and the functions in a model, print goes to standard
error, and they can read nothing.
"""

import importlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO


def main(request: dict[str, Any]) -> None:
    requests, answers = _take_streams()

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        keras = importlib.import_module(request["package"])
    except Exception as error:
        answer(failed="import", error=_described(error))
        return
    about = {"version": str(keras.__version__), "backend": _backend(keras), "python": platform.python_version()}
    try:
        model = _load(keras, request)
    except Exception as error:
        answer(failed="load", error=_described(error), **about)
        return
    answer(**about)
    for line in requests:
        inputs = Path(line.rstrip("\n"))
        try:
            _run(keras, model, inputs)
        except Exception as error:
            answer(failed="run", error=_described(error))
        else:
            answer()


def _take_streams() -> tuple[TextIO, TextIO]:
    """Return standard input and output, and leave everybody else an empty one and standard error."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def _described(error: Exception) -> str:
    """Return an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _backend(keras: ModuleType) -> str:
    return "tensorflow" if keras.__name__ == "tf_keras" else str(keras.backend.backend())


# Loading


def _load(keras: ModuleType, request: dict[str, Any]) -> Any:
    """Return the model. The user's own classes and functions are looked for only if it needs some."""
    load = keras.models.load_model
    options = {"compile": False, "safe_mode": request["safe_mode"]}
    try:
        return load(request["model"], **options)
    except Exception:
        if request["code"] is None:
            raise
    return load(request["model"], custom_objects=_definitions(Path(request["code"])), **options)


def _definitions(script: Path) -> dict[str, object]:
    """Return the classes and functions that a script defines or imports."""
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if callable(value)}


# Running


def _run(keras: ModuleType, model: Any, inputs: Path) -> None:
    import numpy as np

    with np.load(inputs, allow_pickle=False) as file:
        arrays = [_tensor(keras, file[f"{index}"], str(file[f"type{index}"])) for index in range(len(file.files) // 2)]
    for layer in _layers(model):
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()
    results = model(_structured(keras, model, arrays), training=False)
    flat = _tree(keras).flatten(results)
    np.savez(inputs.with_name("outputs.npz"), **{f"{index}": _array(keras, one) for index, one in enumerate(flat)})


def _layers(model: Any) -> Iterator[Any]:
    pending = [model]
    while pending:
        layer = pending.pop()
        yield layer
        pending.extend(one for one in getattr(layer, "layers", None) or () if one is not layer)


def _tree(keras: ModuleType) -> Any:
    return importlib.import_module("tensorflow").nest if keras.__name__ == "tf_keras" else keras.tree


def _structured(keras: ModuleType, model: Any, arrays: Sequence[Any]) -> Any:
    """Return the inputs as the model takes them: as one, a list or a dict."""
    structure = getattr(model, "_inputs_struct", getattr(model, "_nested_inputs", None))
    if structure is not None:
        return _tree(keras).pack_sequence_as(structure, list(arrays))
    return arrays[0] if len(arrays) == 1 else list(arrays)


def _tensor(keras: ModuleType, array: Any, dtype: str) -> Any:
    if dtype == "string":
        return importlib.import_module("tensorflow").constant(array.tolist(), shape=array.shape, dtype="string")
    if keras.__name__ == "tf_keras":
        return importlib.import_module("tensorflow").convert_to_tensor(array, dtype=dtype)
    return keras.ops.convert_to_tensor(array, dtype=dtype)


def _array(keras: ModuleType, tensor: Any) -> Any:
    """Return an output as `.npz` files hold it: bfloat16 as float32, and texts of fixed length."""
    import numpy as np

    array = tensor.numpy() if keras.__name__ == "tf_keras" else keras.ops.convert_to_numpy(tensor)
    array = np.asarray(array)
    if array.dtype == object:
        texts = [one.decode() if isinstance(one, bytes) else str(one) for one in array.ravel().tolist()]
        return np.asarray(texts, dtype=str).reshape(array.shape)
    return array if array.dtype.kind in "biuf" else array.astype(np.float32)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
