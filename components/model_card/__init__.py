"""ModelCard: describes a model for its users, in Markdown."""
