"""The names of features in raw and transformed examples; nothing but names, so that importing them is free."""

# Raw examples: what PairExampleGen writes and the published model's `serving_default` parses.
LEFT_ID = "left_id"
RIGHT_ID = "right_id"
SCORE = "score"
# Only where the pipeline file names a column of weights.
WEIGHT = "weight"

# Transformed examples: rows of the embedding tables, and the centred, scaled score.
LEFT = "left"
RIGHT = "right"
LABEL = "label"

# Vocabulary files inside the transform graph.
LEFT_VOCABULARY = "left"
RIGHT_VOCABULARY = "right"
SHARED_VOCABULARY = "shared"


def vocabulary_names(shared: bool) -> tuple[str, str]:
    """The vocabulary names of the left and the right side (the same one twice where the sides share a table)."""
    if shared:
        return SHARED_VOCABULARY, SHARED_VOCABULARY
    return LEFT_VOCABULARY, RIGHT_VOCABULARY
