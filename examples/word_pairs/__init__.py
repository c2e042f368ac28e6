"""Words and their context words, counted in the documentation of the installed Python."""
