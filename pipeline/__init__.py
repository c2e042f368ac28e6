"""How the graph is composed, and where it runs."""
