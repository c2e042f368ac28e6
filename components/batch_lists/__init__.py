"""Lists of the best entities for all entities of a published model."""
