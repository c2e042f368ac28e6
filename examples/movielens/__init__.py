"""MovieLens ratings: who gave which film how many stars."""
