"""kindred-model-server: TensorFlow Serving's public contract on the installed TensorFlow."""
