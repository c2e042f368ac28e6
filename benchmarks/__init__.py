"""Benchmarks of the published figures: `python -m benchmarks.NAME`. The last line on stdout is a JSON object."""
