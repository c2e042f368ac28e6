"""Pairs as training reads them: ids encoded to rows of tables, columns in memory or on disk."""
