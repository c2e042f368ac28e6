"""Resolves the model to compare with: the latest blessed model other than the candidate."""
