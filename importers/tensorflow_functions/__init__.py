"""The functions of TensorFlow that models are written with, as functions of `kir.backend`.

Each has TensorFlow's name, arguments and defaults, since scripts call it by them and files of Keras 2 record its calls
by them. `signatures` says how they are declared, and `kir.importers.tensorflow_names` what is in which module.

Source: https://www.tensorflow.org/api_docs/python/tf
"""
