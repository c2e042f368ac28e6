"""What TFX's Evaluator is told to measure, which rules bless a model, and how its verdict reads."""
