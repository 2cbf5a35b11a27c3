"""Calling a user's function, and the messages when it fails."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from kir import activations
from kir.errors import ShapeError, TraceError
from kir.modeling.user_functions import call_function, function_config, function_name, parameter_names


def divide(x: float, by: float = 0) -> float:
    return x / by


class Divider:
    """A callable object."""

    def __call__(self, x: float) -> float:
        return divide(x)


def test_the_result_is_the_functions() -> None:
    assert call_function("function", divide, 6, by=3) == 2


@pytest.mark.parametrize("function", [divide, functools.partial(divide, by=0), Divider()])
def test_role_name_place_and_cause_are_told(function: Any) -> None:
    line = divide.__code__.co_firstlineno + 1
    with pytest.raises(TraceError) as error:
        call_function("mask function", function, 1)
    expected = ["mask function", function_name(function), f"test_user_functions.py:{line}, `return x / by`", "division"]
    assert all(part in str(error.value) for part in expected), str(error.value)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_call_that_does_not_reach_the_function_is_placed_at_its_definition() -> None:
    with pytest.raises(TraceError, match=rf"test_user_functions.py:{divide.__code__.co_firstlineno}\).*positional"):
        call_function("function", divide, 1, 2, 3)


def test_functions_written_in_c_have_no_place() -> None:
    with pytest.raises(TraceError, match=r"function abs: TypeError"):
        call_function("function", abs, "text")


def test_kirs_errors_keep_their_class_in_kirs_functions() -> None:
    with pytest.raises(ShapeError):
        call_function("activation", activations.glu, np.ones(3, np.float32))


def test_names_and_parameters() -> None:
    assert function_name(functools.partial(divide, by=1)) == "divide"
    assert function_name(Divider()) == "Divider"
    assert parameter_names(divide) == {"x", "by"}
    assert parameter_names(dict) == frozenset()  # written in C, without a signature that Python knows
    assert function_config(divide)["config"] == "divide"
