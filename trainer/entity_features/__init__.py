"""Features of entities: their settings, their table, their transform graph, and the map from features to vectors."""
