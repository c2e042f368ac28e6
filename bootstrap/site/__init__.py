"""The documentation site: collects pages, generates references, and runs MkDocs (`make docs`)."""
