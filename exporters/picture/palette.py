"""Colours by kind of operator or layer, chosen to be told apart on white and on black.

The colour fills the head of a box, with white text; all have a contrast of at least 4.5 to white (WCAG 2.2, AA).
"""

from __future__ import annotations

COLOURS = {
    "input": "#475569",
    "output": "#475569",
    "structural": "#475569",
    "linear": "#1d4ed8",
    "core": "#1d4ed8",
    "convolution": "#4338ca",
    "convolutional": "#4338ca",
    "recurrent": "#7e22ce",
    "rnn": "#7e22ce",
    "attention": "#a21caf",
    "activations": "#b91c1c",
    "nn": "#b91c1c",
    "elementwise": "#047857",
    "merging": "#047857",
    "shape": "#92400e",
    "reshaping": "#92400e",
    "reduce": "#c2410c",
    "pooling": "#c2410c",
    "normalization": "#0e7490",
    "regularization": "#9f1239",
    "random": "#9f1239",
    "wrappers": "#334155",
    "model": "#334155",
    "sparse": "#4d7c0f",
}
OTHER = "#57534e"

# What is to be said of a box: what a pass did to it, or its error against the bound. Colour of its border, and a sign.
STATUS = {
    "added": ("#16a34a", "+"),
    "removed": ("#dc2626", "−"),
    "changed": ("#d97706", "~"),
    "wrong": ("#dc2626", "!"),
    "unseen": ("#7e22ce", "?"),
    "near": ("#d97706", "≈"),
    "within": ("#16a34a", "✓"),
}


def colour(kind: str) -> str:
    """Return the colour of a kind; grey for one that is not listed, such as layers of the user's."""
    return COLOURS.get(kind, OTHER)
