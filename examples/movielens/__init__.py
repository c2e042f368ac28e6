"""MovieLens: star ratings of films by users."""
