"""The published model: export, reading, and warm-up requests."""
