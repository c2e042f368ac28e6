"""Prepares a process for fast imports."""

from __future__ import annotations

import sys

from compat import apache_beam, numpy, pyarrow, tensorflow, tensorflow_data_validation, tensorflow_transform, tfx
from compat.imports import Shortcut, Shortcuts

SHORTCUTS: dict[str, Shortcut] = {
    "tensorflow": tensorflow.import_quickly,
    "keras": tensorflow.import_quickly,
    "apache_beam": apache_beam.import_quickly,
    "numpy.f2py": numpy.import_on_demand,
    "pyarrow": pyarrow.import_quickly,
    "tensorflow_transform.keras_lib": tensorflow_transform.use_installed_keras,
    "tensorflow_transform.saved.saved_transform_io_v2": tensorflow_transform.trace_in_turn,
    "tensorflow_data_validation": tensorflow_data_validation.import_quickly,
    "tfx.components": tfx.import_on_demand,
    "tensorflow_model_analysis": tfx.import_on_demand,
}


def prepare() -> None:
    """Makes later imports of large libraries fast and quiet in this process. Idempotent.

    Every entry point calls it before it imports such a library: commands, cluster tasks, Beam's workers, the model
    server and benchmarks. A process without it works the same but starts slower.
    """
    if not any(isinstance(finder, Shortcuts) for finder in sys.meta_path):
        sys.meta_path.insert(0, Shortcuts(SHORTCUTS))
