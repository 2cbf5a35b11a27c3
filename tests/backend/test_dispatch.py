"""What the package does to the functions that it offers."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from kir import Input
from kir import backend as K
from kir.modeling.functional import KerasTensor


def test_a_call_on_a_functional_tensor_is_recorded_under_the_name_of_the_function() -> None:
    y = K.log1p(Input((3,), name="x"))
    assert isinstance(y, KerasTensor)
    assert y.call.layer.name.startswith("log1p")
    assert [x.name for x in y.call.inputs] == ["x"]  # and nothing that log1p calls


@pytest.mark.parametrize("ask", [K.shape, K.int_shape, K.ndim, K.dtype, K.size, K.is_tensor])
def test_a_question_about_a_functional_tensor_is_answered_at_once(ask: Callable[[Any], object]) -> None:
    assert not isinstance(ask(Input((3,), batch_size=2)), KerasTensor)


def test_two_names_of_a_function_are_one_function() -> None:
    assert K.abs is K.absolute
    assert K.conv2d is K.conv


@pytest.mark.parametrize("function", [K.add, K.sin, K.relu, K.concatenate, K.image.resize])
def test_a_function_is_found_where_it_says_that_it_is(function: Callable[..., Any]) -> None:
    assert pickle.loads(pickle.dumps(function)) is function


def test_functions_that_are_made_show_their_arguments_and_what_they_do() -> None:
    assert list(inspect.signature(K.maximum).parameters) == ["x1", "x2"]
    assert list(inspect.signature(K.sigmoid).parameters) == ["x"]
    assert inspect.getdoc(K.sigmoid) == "Return ``1 / (1 + exp(-x))``."
