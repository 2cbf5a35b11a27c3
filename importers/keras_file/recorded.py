"""What Keras 2 recorded between layers: calls of TensorFlow's functions, made from the configs in its files.

| class             | config                | is                                                            |
|-------------------|-----------------------|---------------------------------------------------------------|
| TFOpLambda        | function              | a function by its path in TensorFlow, such as "math.add"      |
| SlicingOpLambda   | function              | the same, where slices may be among the arguments             |
| TensorFlowOpLayer | node_def, constants   | an operation of TensorFlow's graphs, by TensorFlow 2.0 to 2.3 |
| ClassMethod       | cls_symbol,           | a method of RaggedTensor                                      |
|                   | method_name           |                                                               |
| InstanceMethod    | attr_name             | a method of a ragged or sparse tensor                         |
| InstanceProperty  | attr_name             | a part of a ragged or sparse tensor                           |
| AddLoss, AddMetric|                       | the tensor itself, of which training takes note               |

Names are looked up in kir's own table alone. The arguments are those of the calls: see `calls`.

Source: tf_keras/src/layers/core/tf_op_layer.py, tf_keras/src/engine/base_layer.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kir import backend as K
from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file.operations import Recorded
from kir.importers.tensorflow_functions.signatures import require_operand, supported_by
from kir.importers.tensorflow_names import function_at

_RAGGED = "of a ragged or sparse tensor is not supported, as ONNX has none; pad the rows to one length, with a mask"
# Keras 2 writes the named arguments of a function, and these take any number of others.
_LOST = frozenset({"einsum", "meshgrid"})
# A dense tensor as a ragged one, whose rows then all have one length, and back.
_METHODS = frozenset({"from_tensor", "to_tensor"})


def reason_against_recorded(description: Mapping[str, Any]) -> str | None:
    """Return why kir cannot make the call; None if it can."""
    try:
        _function(description)
    except UnsupportedError as error:
        return str(error.args[0])
    return None


def make_recorded(description: Mapping[str, Any], name: str) -> Recorded:
    """Return the operation that a description is of.

    Raises:
        UnsupportedError: kir does not have the function.
        FormatError: the config does not say which function it is.
    """
    path, function = _function(description)
    return Recorded(supported_by(path, function), name)


def _function(description: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    class_name, config = description["class_name"], description["config"]
    if class_name == "TensorFlowOpLayer":
        from kir.importers.keras_file.node_defs import function_of_node  # start-up time: few files are so old

        return function_of_node(config)
    if class_name in ("AddLoss", "AddMetric"):
        return class_name, K.identity
    if class_name in ("ClassMethod", "InstanceMethod", "InstanceProperty"):
        name = str(config.get("method_name" if class_name == "ClassMethod" else "attr_name"))
        if name not in _METHODS:
            raise UnsupportedError(f"{name} {_RAGGED}")
        return name, _whole_rows
    path = config.get("function")
    if not isinstance(path, str):
        raise FormatError(f"a {class_name} has the function {path!r}; expected its path in TensorFlow")
    if path.rpartition(".")[2] in _LOST:
        require_operand(path, None)
    function = function_at(path) or _of_keras(path)
    if function is None:
        from kir.importers.tensorflow_missing import reason_against  # start-up time: only errors need it

        raise UnsupportedError(f"tf.{path}: {reason_against(path)}")
    return path, function


def _of_keras(path: str) -> Callable[..., Any] | None:
    """Return a function of keras.backend or keras.activations; none of those that set something."""
    module, _, name = path.rpartition(".")
    found = vars(K).get(name) if module in ("keras.backend", "keras.activations") else None
    return found if callable(found) and getattr(found, "__module__", None) == "kir.backend" else None


def _whole_rows(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a tensor itself, whose rows are whole: as a ragged tensor, or from one."""
    given = [*args, *(value for key, value in kwargs.items() if key not in ("args", "kwargs", "name"))]
    given += [one for key in ("args", "kwargs") for one in (kwargs.get(key) or [])]
    if any(one is not None for one in given):
        raise UnsupportedError(f"with arguments, a method {_RAGGED}")
    only = x[0] if isinstance(x, list | tuple) and len(x) == 1 else x
    if isinstance(only, list | tuple):
        raise UnsupportedError(f"with arguments, a method {_RAGGED}")
    return only
