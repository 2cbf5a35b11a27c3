"""The inputs of models that only their own `call` knows, from shapes by names."""

from __future__ import annotations

from pathlib import Path

import pytest

from kir import Model
from kir.api import load
from kir.errors import InvalidArgumentError
from tests.importers.test_keras_stand_in import write

ATTENDS = """
class Attends(Model):
    def __init__(self):
        super().__init__()
        self.embed = layers.Embedding(9, 4)
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, tokens, memory, weight=None, training=False):
        x = self.attention(self.embed(tokens), memory)
        return x if weight is None else x * weight[:, None, None]

model = Attends()
"""


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ("tokens:batch,6 memory:batch,5,3", ["tokens", "memory"]),
        ("tokens:2,6 memory:2,5,3 weight:2", ["tokens", "memory", "weight"]),
    ],
)
def test_shapes_of_inputs_are_given_by_the_names_of_parameters(tmp_path: Path, shapes: str, names: list[str]) -> None:
    path = write(tmp_path, f"from kir import Model, layers\n{ATTENDS}")
    given = {name: sizes.split(",") for name, sizes in (one.split(":") for one in shapes.split())}
    with pytest.raises(InvalidArgumentError, match=r"give their shapes with --input-shapes tokens:batch"):
        load(path)
    model = load(path, input_shapes={n: [int(s) if s.isdigit() else s for s in sizes] for n, sizes in given.items()})
    assert isinstance(model, Model)
    assert model.input_names == names
    assert [x.dtype for x in model.inputs] == ["int32", "float32", "float32"][: len(names)]


def test_shapes_of_a_list_or_a_dict_of_inputs(tmp_path: Path) -> None:
    text = """
from kir import Model
class Pair(Model):
    def call(self, inputs):
        return inputs[{}] * inputs[{}]
model = Pair()
"""
    for keys, names in (((0, 1), ["inputs_0", "inputs_1"]), (("'a'", "'b'"), ["a", "b"])):
        path = write(tmp_path, text.format(*keys))
        model = load(path, input_shapes={name: ["batch", 3] for name in names})
        assert isinstance(model, Model)
        assert model.input_names == names
        assert model.output_shape == (None, 3)
