"""Publishes a blessed model. It appears in the serving directory only when complete."""
