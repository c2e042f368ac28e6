"""What every test shares: reproducible examples, and silence from TensorFlow's C++."""

from __future__ import annotations

import os

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# The same examples on every machine, and no deadline: the first call of many a function imports something.
hypothesis.settings.register_profile("kindred", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("kindred")
