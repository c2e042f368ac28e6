"""Resolves the model for a warm start: the latest blessed model that was trained on earlier examples."""
