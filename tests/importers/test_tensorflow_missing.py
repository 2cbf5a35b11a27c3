"""Every function of TensorFlow that computes is one of kir's, or there is a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kir.errors import UnsupportedError
from kir.importers.keras_stand_in import StandIn
from kir.importers.tensorflow_missing import known_reason, reason_against
from kir.importers.tensorflow_names import NAMESPACES
from tests.importers.tensorflow_functions.cases import CASES

# The public functions of TensorFlow 2.21, a module on each line; in compat.v1 those that it alone has.
NAMES = Path(__file__).with_name("tensorflow_functions") / "names.txt"


def names_of_tensorflow() -> Iterator[tuple[str, str]]:
    for line in NAMES.read_text().splitlines():
        module, _, names = line.partition(": ")
        for name in names.split():
            yield "" if module == "tf" else module, name


def test_every_function_is_there_or_has_a_reason() -> None:
    undecided = [
        f"{module}.{name}"
        for module, name in names_of_tensorflow()
        if name not in NAMESPACES.get(module, {}) and known_reason(f"{module}.{name}".lstrip(".")) is None
    ]
    assert undecided == []


def test_a_third_of_the_functions_are_there() -> None:
    known = list(names_of_tensorflow())
    there = [name for module, name in known if name in NAMESPACES.get(module, {})]
    assert (len(known), len(there) > 400) == (1071, True)


def test_most_functions_have_a_case() -> None:
    """The others are aliases, and functions whose values another case shows."""
    heads = {name.split()[0] for name in CASES}
    modules = ("image", "linalg", "math", "nn")
    without = [
        f"{module}.{name}"
        for module, name in names_of_tensorflow()
        if module in modules and name in NAMESPACES[module] and f"{module}.{name}" not in heads
    ]
    assert len(without) < 45, without


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("image.decode_png", "outside of a model"),
        ("random.gamma", "draws other numbers"),
        ("image.random_crop", "draws other numbers"),
        ("gradients", "only training"),
        ("signal.rfft", "complex numbers"),
        ("unique", "depend on the data"),
        ("sparse.to_dense", "sparse or ragged"),
        ("strings.lower", "works on texts"),
        ("while_loop", "runs Python functions or branches"),
        ("compat.v1.placeholder", "graphs, sessions and variables"),
        ("linalg.svd", "decompose or solve"),
        ("math.lgamma", "special function"),
        ("bitwise.invert", "works on bits"),
        ("image.non_max_suppression", "finds or cuts boxes"),
        ("quantization.quantize", "quantizes no numbers"),
        ("nn.dilation2d", "no such windows"),
        ("image.ssim", "write it with functions that are there"),
    ],
)
def test_the_advice_fits_the_name(path: str, reason: str) -> None:
    assert reason in reason_against(path)
    found: Any = StandIn(True).module("tensorflow")
    for part in path.split("."):
        found = getattr(found, part)
    with pytest.raises(UnsupportedError, match=reason):
        found(1)


def test_a_name_that_tensorflow_does_not_have_is_of_no_kind() -> None:
    assert known_reason("made_up") is None
    assert "no such function" in reason_against("made_up")
