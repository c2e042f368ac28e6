"""Pairs for training: ids encoded as table rows, in columns in memory or on disk."""
