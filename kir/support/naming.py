"""Automatic layer names, counted as Keras counts them: dense, dense_1, dense_2."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Container, Iterable

from kir.errors import InvalidArgumentError

_counts: Counter[str] = Counter()


@functools.cache
def snake_case(name: str) -> str:
    """Return Keras's `to_snake_case`: "LSTM" → "lstm", "Conv2D" → "conv2d", "MaxPooling1D" → "max_pooling1d"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def automatic_name(class_name: str) -> str:
    """Return the next free name for a layer of this class."""
    prefix = snake_case(class_name)
    count = _counts[prefix]
    _counts[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def is_automatic_name(name: str, class_name: str) -> bool:
    """Return whether a layer of this class would be called that without being asked: "dense_3" of a Dense."""
    prefix = snake_case(class_name)
    return name == prefix or (name.startswith(f"{prefix}_") and name[len(prefix) + 1 :].isdecimal())


def reset_names() -> None:
    """Start counting anew, as `keras.utils.clear_session` does. Every model script starts this way."""
    _counts.clear()


def unique(name: str, taken: Container[str]) -> str:
    """Return `name`, or `name_1`, `name_2`, … when it is taken already."""
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def join_path(*parts: str) -> str:
    """Return the path of something inside something else, without the parts that are empty: "encoder/dense"."""
    return "/".join(filter(None, parts))


class Names:
    """Names, each handed out once: a name that is taken gets the first free suffix of _1, _2, …"""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)
        self._next_suffix: dict[str, int] = {}

    def unique(self, wanted: str) -> str:
        """Return `name`, or `name_1`, `name_2`, … when it is taken already."""
        name = wanted
        while name in self._taken:
            suffix = self._next_suffix.get(wanted, 0) + 1
            self._next_suffix[wanted] = suffix
            name = f"{wanted}_{suffix}"
        self._taken.add(name)
        return name


def symbol_name(text: str) -> str:
    """Return `text` with everything that a size's name may not hold replaced by underscores."""
    cleaned = re.sub(r"[^A-Za-z0-9_.]", "_", text)
    return cleaned if cleaned[:1].isalpha() or cleaned[:1] == "_" else f"_{cleaned}"


def decoded(text: str) -> str:
    """Text from the operating system, an argument or a path, in UTF-8 also where Python takes it for ASCII.

    Python keeps bytes that it cannot decode as halves of characters, and all bytes beyond ASCII where the locale is C.

    Raises:
        InvalidArgumentError: it is not UTF-8.
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        pass
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise InvalidArgumentError(f"{text!r} is not UTF-8, which ONNX files and onnxruntime take alone") from None
