"""kindred-model-server: the API and flags of TensorFlow Serving on the installed TensorFlow."""
