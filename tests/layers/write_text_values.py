"""Writes text_values.json: what TextVectorization of Keras 3 gives, for test_text.py.

It needs TensorFlow, which the tests do not: ``KERAS_BACKEND=tensorflow python tests/layers/write_text_values.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

VOCABULARY = [
    *("the", "quick", "fox", "stop", "dont", "don't", "a", "b", "x", "été", "ÉtÉ", "overthe", "the quick"),
    *("quick brown", "brown fox", "zzz yyy", "t", "h", "e", "É", "É ÉTÉ été", "the quick brown fox", "t h"),
    *("stop stop", "a\u00a0b", "nul\0nul", "The", "é", "lazy", "dog", "over", "lazydog", "!?--"),
]
TEXTS = [
    *("The quick brown fox.", "", "!?--", " \tdon't\nSTOP\v\fstop\r ", "É ÉTÉ été", "a\u00a0b a\u2003b"),
    *("nul\0nul x", "jumps over THE over_the lazy-dog!", "zzz yyy zzz"),
]
COLUMN = [[text] for text in TEXTS]
ROWS = [["a", "b", "c"], ["d", "a", ""]]
WEIGHTS = [0.5 + index / 4 for index in range(len(VOCABULARY))]

STANDARDIZE = (None, "lower", "strip_punctuation", "lower_and_strip_punctuation")
NGRAMS: tuple[Any, ...] = (1, 2, 3, (2,), (1, 3), (3, 1), (2, 2))
CASES: list[tuple[Any, dict[str, Any], list[str] | None]] = [
    *(
        (COLUMN, {"standardize": how, "split": s}, None)
        for how in STANDARDIZE
        for s in (None, "whitespace", "character")
    ),
    *((texts, {}, None) for texts in (TEXTS, TEXTS[:1], [], [""], ["", "!"], [["x"]])),
    *((TEXTS, {"output_sequence_length": length}, None) for length in (3, 20)),
    *(([], {"output_sequence_length": 3}, None), ([""], {"output_sequence_length": 2}, None)),
    *((texts, {"split": None}, None) for texts in (TEXTS, ROWS)),
    *((texts, {"split": None, "output_sequence_length": length}, None) for texts, length in ((COLUMN, 3), (ROWS, 2))),
    *((texts, {"split": None, "output_mode": "count"}, None) for texts in (TEXTS, ROWS)),
    (COLUMN, {"split": None, "output_mode": "multi_hot"}, None),
    *((ROWS, {"split": None, "ngrams": ngrams}, None) for ngrams in (2, (2,), 5)),
    (TEXTS, {"split": None, "ngrams": 2}, None),
    *((TEXTS, {"ngrams": n, "output_mode": mode}, None) for n in NGRAMS for mode in ("int", "count")),
    *((["a"], {"ngrams": 3}, None), (["a", "b"], {"ngrams": (3,)}, None), ([], {"ngrams": 2}, None)),
    (TEXTS, {"ngrams": 2, "output_sequence_length": 4}, None),
    (["a b c"], {"ngrams": 3, "output_sequence_length": 9}, None),
    (TEXTS[:2], {"ngrams": 2, "split": "character"}, None),
    *((TEXTS, {"output_mode": mode}, None) for mode in ("multi_hot", "count")),
    *(
        (TEXTS, {"output_mode": mode, "max_tokens": 40, "pad_to_max_tokens": True}, None)
        for mode in ("multi_hot", "count")
    ),
    *((texts, {"output_mode": mode}, None) for texts in ([], ["", ""]) for mode in ("multi_hot", "count")),
    (TEXTS, {"output_mode": "count", "split": "character"}, None),
    (TEXTS, {"output_mode": "tf_idf", "idf_weights": WEIGHTS}, None),
    (TEXTS, {"output_mode": "tf_idf", "idf_weights": WEIGHTS, "max_tokens": 40, "pad_to_max_tokens": True}, None),
    (["a b", "b"], {}, ["a"]),
    (["a b", "b"], {"max_tokens": 10}, ["", "[UNK]", "a"]),
    *((["a b", "b"], {"output_mode": "count"}, words) for words in (["a"], ["[UNK]", "a"])),
]


def main() -> None:
    written = []
    for texts, options, vocabulary in CASES:
        layer = keras.layers.TextVectorization(vocabulary=vocabulary or VOCABULARY, **options)
        result = layer(tf.constant(texts, tf.string)).numpy()
        case = {"texts": texts, "options": options, "vocabulary": vocabulary}
        written.append(case | {"dtype": result.dtype.name, "shape": result.shape, "result": result.ravel().tolist()})
    path = Path(__file__).parent / "text_values.json"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in written)
    path.write_text(f'{{"vocabulary": {json.dumps(VOCABULARY)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
