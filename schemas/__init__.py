"""The curated schemas of pairs: `pairs.pbtxt` with a score, `positives.pbtxt` without one."""
