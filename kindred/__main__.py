"""`python -m kindred`."""

from kindred.entry import main

main()
