"""What is measured on held-out pairs, which rules bless a model, and how the verdict reads."""
