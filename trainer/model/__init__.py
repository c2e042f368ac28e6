"""The Keras model: its layers, and the sizes of its tables."""
