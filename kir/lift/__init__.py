"""Lifting: finding the layers whose calls the nodes of a graph are, the inverse of lowering.

graph ── components ──> nodes of one origin that hang together
      ── proposals ───> guesses: calls of layers that they may be, with arguments and weights from their operators
      ── recognise ───> those whose trace is these very nodes; `recurrent` puts whole models with masks together
"""
