"""Helpers that know nothing of graphs and layers."""
