"""Reading what Keras writes, without Keras and without running anything found in a file."""
