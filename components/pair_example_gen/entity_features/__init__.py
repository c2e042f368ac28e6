"""Reads the files of features: a row for each entity, with an account of every row."""
