"""The `kindred` command: what a person asks for, and what the terminal shows."""
