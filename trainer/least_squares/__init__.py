"""Training by alternating least squares."""
