"""ModelCard: what a model is, in Markdown, for those who are to use it."""
