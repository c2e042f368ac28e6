"""Sets a machine up for Kindred: makes `.venv` from the lock, repairs what needs repair, and proves that it works."""
