"""The typed dataflow graph: sizes, types, operators as such, nodes, traces. Knows no operator and no Keras."""
