"""The names that written scripts import."""

import doctest

from kir import scripting


def test_every_name_is_there() -> None:
    assert set(scripting.__all__) <= set(vars(scripting))


def test_its_example_runs() -> None:
    assert doctest.testmod(scripting).failed == 0
