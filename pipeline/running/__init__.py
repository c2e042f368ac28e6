"""The graph, and a runner for this machine."""
