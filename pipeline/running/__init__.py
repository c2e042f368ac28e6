"""The graph, and running it on this machine node by node."""
