"""Ingests files of pairs into train and eval splits of tf.Examples, and bad rows into a quarantine."""
