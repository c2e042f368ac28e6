"""Roots in an object store: a working copy on this machine, and states of the root in the store."""
