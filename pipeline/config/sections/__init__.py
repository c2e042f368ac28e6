"""One module per section of a pipeline file, with the rules of that section."""
