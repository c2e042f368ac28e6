"""Fitting a model: what every way to train it shares."""
