"""Every change that this project makes to another library, one module for each library.

The docstring of each module states the tested versions, the reason, the upstream reference, and what happens with
another version. No change is needed for a correct run. Without it, a supported but slower path runs. A guard test
in `tests/unit/compat` fails when a library no longer has what its module changes.

`compat.process.prepare` applies the import shortcuts, and every entry point calls it first.
"""
