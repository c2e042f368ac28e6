"""The gate between validation and Transform. It stops the run if the data break a rule."""
