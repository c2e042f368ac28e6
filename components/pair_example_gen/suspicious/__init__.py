"""Values that are valid, but look like a mistake. They are reported, and kept as they are."""
