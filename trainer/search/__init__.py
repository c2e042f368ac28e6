"""The automatic choice of settings on held-out rows of the train split."""
