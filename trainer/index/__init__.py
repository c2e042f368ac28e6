"""The index of approximate rankings: blocks of similar rows, and how many of them a ranking reads."""
