"""Runnable examples: one folder each, with a pipeline file and the command that makes or fetches its data."""
