"""One module per section of a pipeline file, with the rules that stay inside the section."""
