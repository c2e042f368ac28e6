"""Records of runs: the root, the folder and the record of each run, and ML Metadata."""
