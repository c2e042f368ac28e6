"""How the rows of each format are read: what a file is, where it is cut, and its columns as they are in the file."""
