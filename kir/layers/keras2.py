"""The common bases of layers that files of Keras 2 have, and that Keras 3 lacks or computes otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kir.ir.types import DType
from kir.modeling.layer import Layer


class OfKeras2:
    """A layer of Keras 2 that Keras 3 lacks, or that computes something else there; made for files of Keras 2 alone."""

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        """Return whether the layer of Keras 3 computes the same from inputs of these dtypes, in a model with masks."""
        return False


class OtherForMasks(OfKeras2):
    """A layer that does something else with masks in Keras 3."""

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not has_masks


class OtherForIntegers(OfKeras2):
    """A layer that does something else with integers in Keras 3."""

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return all(dtype.is_float for dtype in dtypes)


class SameForFloat32(OfKeras2):
    """A layer that does the same in Keras 3 with float32 alone, and without the arguments that Keras 3 lacks."""

    @property
    def is_in_keras_3(self) -> bool:
        """Return whether the layer was made from arguments that Keras 3 has."""
        return True

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return self.is_in_keras_3 and set(dtypes) == {DType.FLOAT32}


def public_layers(names: Mapping[str, object]) -> dict[str, type[Layer]]:
    """Return those of a module's names that are layers of Keras 2, without the private ones."""
    return {
        name: cls
        for name, cls in names.items()
        if isinstance(cls, type) and issubclass(cls, OfKeras2) and issubclass(cls, Layer) and not name.startswith("_")
    }
