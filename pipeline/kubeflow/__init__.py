"""Runs the graph on Kubeflow Pipelines."""
