"""Lifting: finding the layers whose calls the nodes of a graph are, the inverse of lowering."""
