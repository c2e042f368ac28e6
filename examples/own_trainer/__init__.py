"""A trainer of one's own for train.module_file (docs/guides/own-trainer.md)."""
