"""Sets up Kindred: creates `.venv` from the lock, repairs two packages, and checks the setup on fresh machines."""
