"""The published model: written, read back, warmed up."""
