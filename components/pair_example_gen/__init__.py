"""Ingest: files of pairs become train and eval splits of tf.Examples, bad rows a quarantine."""
