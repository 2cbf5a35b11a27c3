"""The names that written scripts import."""

import doctest
import importlib

import pytest

from kir import scripting


def test_every_name_is_there() -> None:
    assert set(scripting.__all__) <= set(vars(scripting))


def test_its_example_runs() -> None:
    assert doctest.testmod(scripting).failed == 0


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("kir.model", ["Input", "Model", "Sequential", "load_arrays"]),
        ("kir.functional", ["Operation", "Traced"]),
        ("kir.trace", ["constant", "emit"]),
    ],
)
def test_the_former_homes_of_names_have_them(module: str, names: list[str]) -> None:
    with pytest.warns(FutureWarning, match=r"kir\.scripting"):
        former = importlib.reload(importlib.import_module(module))
    assert set(names) <= set(vars(former))
