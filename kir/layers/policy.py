"""The dtypes that layers compute in and keep their weights in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kir import config
from kir.errors import InvalidArgumentError
from kir.types import DType, as_dtype


@dataclass(frozen=True, slots=True)
class DTypePolicy:
    """The dtype that a layer computes in, and the one that its weights are kept in.

    Source: https://keras.io/api/mixed_precision/policy/
    """

    name: str
    compute: DType
    variable: DType

    def get_config(self) -> dict[str, Any]:
        return {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": self.name},
            "registered_name": None,
        }


def dtype_policy(given: Any) -> DTypePolicy:
    """Return the policy for a name ("float32", "mixed_float16"), a config, a dtype or a policy; None is the default.

    Raises:
        InvalidArgumentError: there is no such policy.
    """
    if isinstance(given, DTypePolicy):
        return given
    if isinstance(given, Mapping):
        given = given.get("config", {}).get("name")
    if given is None:
        given = config.dtype_policy()
    if isinstance(given, str) and given.startswith("mixed_"):
        compute = as_dtype(given.removeprefix("mixed_"))
        if not compute.is_float:
            raise InvalidArgumentError(f"there is no dtype policy {given!r}; expected mixed_float16 or mixed_bfloat16")
        return DTypePolicy(given, compute, DType.FLOAT32)
    dtype = as_dtype(given)
    return DTypePolicy(dtype.keras_name, dtype, dtype)
