"""Implementations of the subcommands of `kindred`, without their options."""
