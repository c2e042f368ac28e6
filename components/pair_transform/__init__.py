"""TFX's Transform, with a reader of whole batches."""
