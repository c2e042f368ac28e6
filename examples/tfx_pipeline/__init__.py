"""Kindred's components in a TFX pipeline of your own, with stock components and TFX's LocalDagRunner."""
