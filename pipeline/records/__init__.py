"""What runs leave behind: the root, the folder and the record of each run, and what ML Metadata knows."""
