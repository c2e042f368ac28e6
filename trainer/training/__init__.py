"""Fitting a model: the parts that all solvers share."""
