"""The names of features in raw and transformed examples. The module has only constants, so importing it is cheap."""

# Raw examples. PairExampleGen writes them, and `serving_default` of the published model parses them.
LEFT_ID = "left_id"
RIGHT_ID = "right_id"
SCORE = "score"
# Only if the pipeline file names a weight column.
WEIGHT = "weight"
# Only if the pipeline file names a time column.
TIME = "time"

# Transformed examples: rows of the embedding tables, and the centered, scaled score.
LEFT = "left"
RIGHT = "right"
LABEL = "label"

# Vocabulary files in the transform graph.
LEFT_VOCABULARY = "left"
RIGHT_VOCABULARY = "right"
SHARED_VOCABULARY = "shared"


def vocabulary_names(shared: bool) -> tuple[str, str]:
    """Returns the vocabulary names of the left and the right side. They are equal if the sides share a table."""
    if shared:
        return SHARED_VOCABULARY, SHARED_VOCABULARY
    return LEFT_VOCABULARY, RIGHT_VOCABULARY
