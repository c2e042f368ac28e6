"""The Keras model: its layers, its tables and their sizes."""
