"""Answers of a published model for many entities or pairs, from a file to a file."""
