"""Why kir does not have a function of TensorFlow, and what to use instead."""

from __future__ import annotations


def reason_against(path: str) -> str:
    """Return why kir has no function at a path in TensorFlow."""
    return "kir has no such function"
