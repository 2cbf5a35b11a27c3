"""Model scripts: finding the model, and saying what is wrong with a script, with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from kir.errors import KirError, ScriptError
from kir.importers.load import split_name
from kir.importers.script import load_script

HEAD = "from kir import Input, Model, Sequential\nfrom kir.layers import Dense\n"


def write(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(HEAD + text)
    return path


def test_the_only_model_is_found_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "net = Sequential([Input((3,)), Dense(2)])\nsame = net\n")
    assert load_script(path).output_shape == (None, 2)


def test_a_model_inside_another_is_no_candidate(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "inner = Sequential([Input((3,)), Dense(2)], name='inner')\n"
        "outer = Sequential([inner, Dense(5)], name='outer')\n",
    )
    assert load_script(path).name == "outer"
    assert load_script(path, "inner").name == "inner"


def test_a_function_that_returns_the_model_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "def build():\n    return Sequential([Input((3,)), Dense(4)])\n")
    assert load_script(path, "build").output_shape == (None, 4)


def test_the_same_script_gives_the_same_names_and_weights_every_time(tmp_path: Path) -> None:
    path = write(tmp_path, "model = Sequential([Input((3,)), Dense(4), Dense(2)])\n")
    first, second = load_script(path), load_script(path)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers] == ["dense", "dense_1"]
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_script_may_import_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sizes_of_the_model.py").write_text("units = 7\n")
    path = write(tmp_path, "from sizes_of_the_model import units\nmodel = Sequential([Input((3,)), Dense(units)])\n")
    before = list(sys.path)
    assert load_script(path).output_shape == (None, 7)
    assert sys.path == before


def test_what_a_script_prints_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_script(write(tmp_path, "print('hello')\nmodel = Sequential([Input((3,)), Dense(2)])\n"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "hello\n"


def test_code_under_main_does_not_run(tmp_path: Path) -> None:
    path = write(tmp_path, "model = Sequential([Input((3,)), Dense(2)])\nif __name__ == '__main__':\n    1 / 0\n")
    assert load_script(path).name == "sequential"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "leaves no model behind"),
        ("def build():\n    pass\n", "functions: build"),
        ("if __name__ == '__main__':\n    model = 1\n", 'under if __name__ == "__main__": did not run'),
        (
            "a = Sequential([Input((3,)), Dense(2)])\nb = Sequential([Input((3,)), Dense(2)])\n",
            r"2 models behind \(a, b\)",
        ),
        ("model = Sequential([Input((3,)), Dense(2)]\n", r"script\.py:3"),
        ("model = missing\n", r"script\.py:3: NameError"),
        ("def f():\n    raise ValueError('no')\nf()\n", r"script\.py:4: ValueError: no"),
        ("import sys\nsys.exit(3)\n", r"script\.py:4.*sys\.exit\(3\)"),
        ("import not_there_at_all\n", r"script\.py:3: ModuleNotFoundError"),
        ("model = Model(Input((3,)), Dense(2)(Input((3,))))\n", "not among the model's inputs"),
    ],
)
def test_a_script_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(KirError, match=message):
        load_script(write(tmp_path, text))


def test_an_error_of_a_layer_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(KirError, match="units=-1") as caught:
        load_script(write(tmp_path, "\nDense(-1)\n"))
    assert any("script.py:4" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("name", ["missing", "value"])
def test_a_name_that_is_no_model_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScriptError):
        load_script(write(tmp_path, "value = 3\nmodel = Sequential([Input((3,)), Dense(2)])\n"), name)


def test_files_that_are_no_scripts(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="there is no file"):
        load_script(tmp_path / "missing.py")
    (tmp_path / "binary.py").write_bytes(b"\0\1\2")
    with pytest.raises(ScriptError):
        load_script(tmp_path / "binary.py")


def test_names_are_split_from_files() -> None:
    assert split_name("a/model.py:build") == (Path("a/model.py"), "build")
    assert split_name("model.py") == (Path("model.py"), None)
    assert split_name("c:/model.py") == (Path("c:/model.py"), None)
