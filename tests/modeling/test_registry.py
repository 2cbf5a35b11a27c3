"""What initializers, regularizers and constraints share: names, configs, custom objects and error messages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kir import constraints, initializers, regularizers
from kir.errors import InvalidArgumentError
from kir.modeling.registry import Configurable, Registry, argument_names

KINDS = [(initializers, "initializer"), (regularizers, "regularizer"), (constraints, "constraint")]


class Scaled(Configurable):
    def __init__(self, factor: float, table: Any = None) -> None:
        self.factor = factor
        self.table = table

    def __call__(self, x: float) -> float:
        return self.factor * x


class Forgetful(Configurable):
    def __init__(self, factor: float) -> None:
        self._factor = factor


class Plain(Configurable):
    def __call__(self, x: float) -> float:
        return x


def double(x: float) -> float:
    return 2 * x


REGISTRY = Registry("activation", (Plain, Scaled), aliases={"same": Plain}, ignored=frozenset({"dtype"}))


def test_config_is_the_arguments_and_makes_the_object_again() -> None:
    scaled = Scaled(2.5, table=(1, np.float32(2)))
    assert scaled.get_config() == {"factor": 2.5, "table": (1, 2.0)}
    assert Scaled.from_config(scaled.get_config()).get_config() == scaled.get_config()
    assert repr(Scaled(2.5)) == "Scaled(factor=2.5, table=None)"


def test_an_array_in_a_config_keeps_its_dtype() -> None:
    table = np.array([[1, 2], [3, 4]], np.float16)
    config = Scaled(1.0, table).get_config()
    assert config["table"] == {"class_name": "__numpy__", "config": {"value": table.tolist(), "dtype": "float16"}}
    again = Scaled.from_config(config).table
    assert again.dtype == np.float16
    np.testing.assert_array_equal(again, table)


def test_an_argument_that_is_not_stored_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Forgetful does not keep its argument 'factor'.*self\.factor"):
        Forgetful(1.0).get_config()
    assert repr(Forgetful(1.0)) == "Forgetful()"


def test_argument_names_leave_out_variadic_arguments() -> None:
    class Variadic:
        def __init__(self, first: int, *rest: int, last: int = 0, **others: int) -> None:
            self.sum = first + sum(rest) + last + sum(others.values())

    assert argument_names(Variadic) == ("first", "last")


@pytest.mark.parametrize("name", ["Plain", "plain", "same"])
def test_get_by_name(name: str) -> None:
    assert isinstance(REGISTRY.get(name), Plain)


def test_get_by_object_class_callable_and_none() -> None:
    scaled = Scaled(3.0)
    assert REGISTRY.get(scaled) is scaled
    assert isinstance(REGISTRY.get(Plain), Plain)
    assert REGISTRY.get(double) is double
    assert REGISTRY.get(None) is None


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Scaled", "config": {"factor": 2.0}},
        {"class_name": "Scaled", "config": {"factor": 2.0, "dtype": "float32"}},
        {"module": None, "class_name": "scaled", "config": {"factor": 2.0}, "registered_name": None},
        {"module": "keras.activations", "class_name": "Scaled", "config": {"factor": 2.0}, "registered_name": None},
    ],
)
def test_get_by_config(config: dict[str, Any]) -> None:
    found = REGISTRY.get(config)
    assert isinstance(found, Scaled)
    assert found.get_config() == {"factor": 2.0, "table": None}


def test_a_config_without_config_uses_the_defaults() -> None:
    assert isinstance(REGISTRY.get({"class_name": "Plain"}), Plain)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Plane", "unknown activation 'Plane'; did you mean 'plain'[?] There are Plain, Scaled"),
        ("qqqq", "unknown activation 'qqqq'; there are Plain, Scaled"),
        ("", "unknown activation ''; there are Plain, Scaled"),
        (3, "cannot use 3 as an activation; expected None, a name"),
        (int, "cannot use <class 'int'> as an activation"),
        (Scaled, "Scaled cannot be made without arguments"),
        ("Scaled", "Scaled cannot be made without arguments"),
        ({"config": {}}, "{'config': {}} describes no activation; expected a dict with the keys 'class_name'"),
        ({"class_name": 3}, "{'class_name': 3} describes no activation"),
        ({"class_name": "Plane"}, "did you mean 'plain'"),
        ({"class_name": "Plain", "config": 3}, "cannot make an activation of .*Plain.* from 3"),
        ({"class_name": "Plain", "config": {"a": 1}}, "Plain does not accept .*'a': 1.*; its arguments are none"),
        (
            {"class_name": "Scaled", "config": {"facto": 1}},
            "Scaled does not accept .* are factor, table",
        ),
        ({"class_name": "Scaled", "config": {}}, "Scaled does not accept the config {}.*'factor'"),
        ({"class_name": "Plain", "module": "mine"}, "'Plain' of module 'mine' is not one of Keras's.*custom_objects"),
        ({"class_name": "Plain", "registered_name": "a>Plain"}, "'Plain' of module None is not one of Keras's"),
        ({"class_name": "function", "config": "double"}, "the function 'double'.*custom_objects={'double'"),
    ],
)
def test_what_cannot_be_used_is_repeated_with_what_exists(given: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        REGISTRY.get(given)


def test_custom_objects_go_before_keras_names() -> None:
    class Mine(Scaled):
        pass

    cases: list[tuple[str, dict[str, Any]]] = [
        ("Plain", {"class_name": "Plain", "config": {"factor": 1.0}}),
        ("a>Mine", {"class_name": "Mine", "config": {"factor": 1.0}, "module": "m", "registered_name": "a>Mine"}),
        ("Mine", {"class_name": "Mine", "config": {"factor": 1.0}, "module": None, "registered_name": "Mine"}),
    ]
    for name, config in cases:
        assert isinstance(REGISTRY.deserialize(config, {name: Mine}), Mine)


def test_a_function_is_saved_by_name_and_found_in_custom_objects() -> None:
    saved = REGISTRY.serialize(double)
    assert saved == {
        "module": "builtins",
        "class_name": "function",
        "config": "double",
        "registered_name": "function",
    }
    assert REGISTRY.deserialize(saved, {"double": double}) is double


def test_own_classes_are_saved_with_their_module_and_made_again() -> None:
    saved = REGISTRY.serialize(Scaled(2.0))
    assert saved is not None
    assert saved["module"] == Scaled.__module__
    assert saved["registered_name"] == "Scaled"
    assert isinstance(REGISTRY.deserialize(saved, {"Scaled": Scaled}), Scaled)


def test_a_class_of_the_main_script_is_saved_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scaled, "__module__", "__main__")
    saved = REGISTRY.serialize(Scaled(2.0))
    assert saved is not None
    assert saved["module"] is None


@pytest.mark.parametrize("unsaveable", [lambda x: x, np.sum, 3, Plain])
def test_what_cannot_be_saved_is_repeated(unsaveable: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be saved"):
        REGISTRY.serialize(unsaveable)


@pytest.mark.parametrize(("module", "kind"), KINDS, ids=[kind for _, kind in KINDS])
def test_the_three_modules_resolve_alike(module: Any, kind: str) -> None:
    def custom(*args: Any) -> Any:
        return args

    get: Callable[[Any], Any] = module.get
    assert get(None) is None
    assert module.serialize(None) is None
    assert get(custom) is custom
    with pytest.raises(InvalidArgumentError, match=f"unknown {kind} 'nothing like it'; .*[Tt]here are "):
        get("nothing like it")
    with pytest.raises(InvalidArgumentError, match=rf"cannot use \[1, 2\] as an? {kind}"):
        get([1, 2])
