"""Exact ranking in NumPy, and ranking metrics."""
