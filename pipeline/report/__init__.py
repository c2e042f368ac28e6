"""The report of a run: one self-contained HTML file without network requests (docs/report.md)."""
