"""Runnable examples. Each folder has a pipeline file and a command that generates or downloads the data."""
