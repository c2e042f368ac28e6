"""Which model the candidate must not fall behind: the latest blessed one that is not the candidate itself."""
