"""The model and its training. Only this package uses Keras, and it does not know the graph."""
