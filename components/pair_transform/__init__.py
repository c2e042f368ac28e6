"""TFX's Transform, reading whole batches of pairs."""
