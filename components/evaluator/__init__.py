"""Measures a model on held-out pairs, judges the blessing rules, and records the evaluation."""
