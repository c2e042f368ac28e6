"""The corpus of hostile input files."""
