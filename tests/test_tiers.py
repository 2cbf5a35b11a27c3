"""The quick tier touches every operator, every layer and every command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kir.cli import cli
from tests.importers.keras_file.cases import CASES as MODELS
from tests.importers.keras_file.test_complete import A_CASE, EXCUSED
from tests.ops.test_cases import CASES

ROOT = Path(__file__).parent.parent
OPERATORS = "tests/ops/test_cases.py::test_types_and_both_interpreters_agree_with_eval"
KERAS_FILES = "tests/importers/keras_file/test_models.py::test_keras_archive"
COMMANDS = "tests/test_cli.py::test_every_command_prints_text_or_one_json_document"

# The layers that no file of Keras's has in the tests, which test_complete.py excuses, and their tests.
OTHER_LAYERS = {
    "Equalization": "tests/layers/test_augmentation.py::test_images_as_keras_gives_them_at_inference",
    "HashedCrossing": "tests/layers/test_hashing.py::test_one_hot_crosses",
    "Hashing": "tests/layers/test_hashing.py::test_modes",
    "IntegerLookup": "tests/layers/test_categorical.py::test_lookup",
    "Lambda": "tests/layers/test_core.py::test_lambda_like_keras",
    "StringLookup": "tests/layers/test_categorical.py::test_lookup",
    "TextVectorization": "tests/layers/test_text.py::test_texts_become_the_indices_that_keras_gives",
    "Wrapper": "tests/layers/test_wrappers.py::test_a_wrapper_of_ones_own",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick() -> list[str]:
    """The quick tests of the files that the tests below ask about, as pytest prints them."""
    tests = [OPERATORS, KERAS_FILES, COMMANDS, *OTHER_LAYERS.values()]
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "quick", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def rows(quick: list[str], test: str) -> list[str]:
    """What distinguishes the quick rows of a test, the text in brackets."""
    return [line.removeprefix(f"{test}[").removesuffix("]") for line in quick if line.startswith(f"{test}[")]


def test_every_operator(quick: list[str]) -> None:
    begun = {re.match(r"\w+", row)[0] for row in rows(quick, OPERATORS)}  # type: ignore[index]
    assert begun == {case.op.name for case in CASES}


def test_every_model_that_keras_wrote_and_so_every_layer(quick: list[str]) -> None:
    """test_complete.py holds that these models have all layers, but for those that it excuses."""
    assert {row.removesuffix("-unknown") for row in rows(quick, KERAS_FILES)} == set(MODELS)


def test_every_other_layer(quick: list[str]) -> None:
    assert set(OTHER_LAYERS) == {layer for layer, missing in EXCUSED if missing == A_CASE}
    assert [test for test in OTHER_LAYERS.values() if test not in quick and not rows(quick, test)] == []


def test_every_command(quick: list[str]) -> None:
    assert set(rows(quick, COMMANDS)) == set(cli.commands)
