"""Which model training starts from: the latest blessed one that was trained on earlier examples."""
