"""Every change that this project makes to another library, one module for each library.

The docstring of each module states the tested versions, the reason, the upstream reference, and what happens with
another version. Nothing here is needed for a correct run: without it a supported, slower path is taken. A guard test
in `tests/unit/compat` fails when a library no longer has what its module changes.

`compat.process.prepare` applies the import shortcuts, and every entry point calls it first.
"""
