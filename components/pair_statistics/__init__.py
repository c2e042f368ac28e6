"""Statistics of pairs: exact counts a column at a time, in the protos that TensorFlow Data Validation reads."""
