"""Searches settings of the model and of training for a section `tune`."""
