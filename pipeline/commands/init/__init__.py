"""`kindred init`: proposes a pipeline file for a file of pairs."""
