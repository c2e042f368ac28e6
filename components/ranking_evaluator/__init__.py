"""Measures how a model ranks the held-out positives of each left entity among the catalogue or given candidates."""
