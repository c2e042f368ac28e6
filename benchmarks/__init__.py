"""One module for each published figure: `python -m benchmarks.NAME`; the last line on stdout is one JSON object."""
