"""The report of a run: one HTML file that opens anywhere and asks nobody for anything (docs/report.md)."""
