"""The layer classes of kir by name, for what stands below them: a wrapper's config holds the config of its layer."""

from __future__ import annotations

import importlib
from typing import Any

# Where a class of a saved config may be; a Sequential's home knows Model too. They stand above this module, and are
# imported when one is asked for.
HOMES = ("kir.layers", "kir.modeling.sequential")


def layer_class(name: str) -> Any:
    """Return the layer or model class of this name; None if kir has none."""
    found = (getattr(importlib.import_module(home), name, None) for home in HOMES)
    return next((one for one in found if isinstance(one, type) and hasattr(one, "from_config")), None)
