"""Exact ranking in NumPy, and its metrics."""
