"""Everything that knows Keras, and nothing that knows the graph."""
