"""The layer classes of kir by name, for what stands below them: a wrapper's config holds the config of its layer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from kir.errors import InvalidArgumentError

# Where a class of a saved config may be; a Sequential's home knows Model too. They stand above this module, and are
# imported when one is asked for.
HOMES = ("kir.layers", "kir.modeling.sequential")


def layer_class(name: str) -> Any:
    """Return the layer or model class of this name; None if kir has none."""
    found = (getattr(importlib.import_module(home), name, None) for home in HOMES)
    return next((one for one in found if isinstance(one, type) and hasattr(one, "from_config")), None)


def layer_from_config(given: object) -> Any:
    """Return a layer from a saved config; a layer, or None, as it is.

    Raises:
        InvalidArgumentError: kir has no layer of that class.
    """
    if not isinstance(given, Mapping):
        return given
    name = given.get("class_name")
    found = layer_class(str(name))
    if found is None:
        raise InvalidArgumentError(
            f"kir.layers has no class {name!r}; give the inner layer itself instead of its config"
        )
    return found.from_config(given.get("config", {}))
