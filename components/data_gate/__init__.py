"""The gate between validation and Transform: data that break a rule stop the run."""
