"""TensorFlow Serving's contract on this machine; stands alone on TensorFlow."""
