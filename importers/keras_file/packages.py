"""The packages that layers in files come from: layers that they announce for kir, and messages about all others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from kir.modeling.registry import KERAS_PACKAGES
from kir.support.caching import cached

# The group of entry points that name kir's layers for those of a package, by the names that Keras registers them under.
GROUP = "kir.layers"


class Package(NamedTuple):
    """A package: what pip calls it, and the module that has its layers."""

    pip_name: str
    module: str


# By what Keras registers their classes under, or by their topmost module.
PACKAGES: Mapping[str, Package] = {
    "Addons": Package("tensorflow-addons", "tensorflow_addons.layers"),
    "Larq": Package("larq", "larq.layers"),
    "Text": Package("tf-models-official", "official.nlp.modeling.layers"),
    "Vision": Package("tf-models-official", "official.vision.modeling.layers"),
    "keras_contrib": Package("git+https://github.com/keras-team/keras-contrib", "keras_contrib.layers"),
    "keras_cv": Package("keras-cv", "keras_cv.layers"),
    "keras_cv_attention_models": Package("keras-cv-attention-models", "keras_cv_attention_models.attention_layers"),
    "kecam": Package("keras-cv-attention-models", "keras_cv_attention_models.attention_layers"),
    "keras_hub": Package("keras-hub", "keras_hub.layers"),
    "keras_nlp": Package("keras-hub", "keras_hub.layers"),
    "keras_rs": Package("keras-rs", "keras_rs.layers"),
    "official": Package("tf-models-official", "official.nlp.modeling.layers"),
    "qkeras": Package("qkeras", "qkeras"),
    "spektral": Package("spektral", "spektral.layers"),
    "tcn": Package("keras-tcn", "tcn"),
    "tensorflow_addons": Package("tensorflow-addons", "tensorflow_addons.layers"),
}
# Layers that are in files under their own names alone.
LAYERS: Mapping[str, Package] = {
    "FixedDropout": Package("efficientnet", "efficientnet.keras"),
    "QActivation": PACKAGES["qkeras"],
    "QConv2D": PACKAGES["qkeras"],
    "QDense": PACKAGES["qkeras"],
    "SeqSelfAttention": Package("keras-self-attention", "keras_self_attention"),
    "SeqWeightedAttention": Package("keras-self-attention", "keras_self_attention"),
    "TCN": PACKAGES["tcn"],
}
# Where a class is that a script defined.
OF_SCRIPTS = frozenset({"", "None", "__main__", "builtins"})


@cached
def announced_layer(registered_name: str) -> Any:
    """Return kir's layer that an installed package announces under exactly this name, which alone imports it; or None.

    A package says in its pyproject.toml: ``[project.entry-points."kir.layers"]``, ``"package>Name" = "module:Class"``.
    """
    found = tuple(entry_points(group=GROUP, name=registered_name))
    return found[0].load() if found else None


def how_to_give_layer(description: Mapping[str, Any]) -> str:
    """Return what a layer is that is none of Keras's, and how to give its class: from its package, if it is of one."""
    registered, module = str(description.get("registered_name") or ""), str(description.get("module") or "")
    full_name = description["class_name"]
    prefix, _, name = (registered if ">" in registered else full_name).rpartition(">")
    if name == "KerasLayer":
        return f"{full_name} runs a graph of TensorFlow from TensorFlow Hub, which a file of Keras does not hold"
    root = module.partition(".")[0]
    # Nobody has layers in Python's own modules: a file that names one means no good.
    is_name = all(part.isidentifier() for part in module.split("."))
    is_of_module = is_name and module not in OF_SCRIPTS and root not in KERAS_PACKAGES | sys.stdlib_module_names
    package = PACKAGES.get(root) or PACKAGES.get(prefix) or (None if is_of_module else LAYERS.get(name))
    objects = f"(custom_objects={{{full_name!r}: the class}})"
    if package is None and not is_of_module:
        where = f" of module {module!r}" if module else ""
        return (
            f"{full_name}{where} is not a class of Keras; give a kir layer of that name or the script that defines it "
            f"with --custom-objects file.py {objects}"
        )
    place = module if is_of_module else package.module if package else root
    what = f"the package {package.pip_name} (pip install {package.pip_name})" if package else f"the module {module}"
    other = "write a kir layer of that name" if package else "give a script that defines it as --custom-objects file.py"
    return (
        f"{full_name} is not a class of Keras, but of {what}; where that is installed, give it with --custom-objects "
        f"{place}. Or {other} {objects}"
    )
