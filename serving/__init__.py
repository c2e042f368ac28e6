"""Serving published models: local clients, and a model server with the API of TensorFlow Serving."""
