"""Words and the words around them, counted from the documentation that every Python carries."""
