"""Statistics of pairs: exact counts by column, in the protos of TensorFlow Data Validation."""
