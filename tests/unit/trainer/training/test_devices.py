"""Several devices train like one: tables are mirrored, and each trains on a share of every batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

# A worker that runs trainings in sequence and writes their tables to the given file.
WORKER = """
import sys
import tempfile
import numpy as np
import tensorflow as tf
from trainer.training import fitting
from trainer.data.hashing import Numbering
from trainer.model.table_sizes import TableSizes
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import collect
from trainer.settings import EarlyStoppingSettings, ModelSettings, TrainSettings

_, devices, objective, optimizer, file, *kinds = sys.argv
if devices == "all":
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
random = np.random.default_rng(1)
left, right = (random.integers(0, size, 900).astype(np.int32) for size in (40, 30))
label = random.normal(size=900) if objective == "regression" else np.ones(900)
pairs = Pairs(left, right, label.astype(np.float32), random.random(900).astype(np.float32))
# Ids from 10 on are unknown, and have two of eight rows each; the pairs are in shards on disk.
numberings = Numbering(10, 2), Numbering(10, 2)
for numbering in numberings:
    numbering.number(random.integers(10, 18, (30, 2)))
of_left, of_right = map(len, numberings)
hashed = Pairs(left % of_left, right % of_right, pairs.label, pairs.weight)
found = {}
with tempfile.TemporaryDirectory() as directory:
    trainings = {
        "plain": (pairs, TableSizes(41, 31)),
        "hashed": (collect(iter([hashed]), 100, directory), TableSizes(18, 18, False, numberings)),
    }
    for kind in kinds:
        data, sizes = trainings[kind]
        network, history = fitting.fit(
            data,
            sizes,
            ModelSettings(dimension=4, objective=objective, regularization=0.01, initial_scale=0.3),
            TrainSettings(
                epochs=3,
                batch_size=64,
                optimizer=optimizer,
                learning_rate=0.05,
                early_stopping=EarlyStoppingSettings(validation_fraction=0.1, patience=3),
                seed=7,
                devices=devices,
            ),
        )
        found |= {f"{kind} {variable.path}": variable.numpy() for variable in network.variables}
        found |= {f"{kind} {name}": np.array(history[name]) for name in ("loss", "val_loss")}
np.savez(file, **found)
"""


def _start(file: Path, devices: str, kind: tuple[str, ...], cluster: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    if cluster:
        environment["TF_CONFIG"] = cluster
    command = [sys.executable, "-W", "ignore", "-c", WORKER, devices, *kind[:2], str(file), *kind[2:]]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said[-3000:]


def _assert_same(one: Path, other: Path, kind: tuple[str, ...]) -> None:
    first, second = np.load(one), np.load(other)
    assert set(first) == set(second) and len(first) > 5 * len(kind[2:])
    assert {name.split()[0] for name in first} == set(kind[2:])
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_two_devices_match_one(tmp_path: Path) -> None:
    alone, mirrored = tmp_path / "alone.npz", tmp_path / "mirrored.npz"
    kind = ("regression", "adagrad", "plain", "hashed")  # tables of other shapes, like in trials of the Tuner
    _finish(_start(alone, "one", kind), _start(mirrored, "all", kind))
    _assert_same(alone, mirrored, kind)


def test_two_workers_match_one(tmp_path: Path) -> None:
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.bind(("localhost", 0))
        addresses = [f"localhost:{held.getsockname()[1]}" for held in (first, second)]
    clusters = [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}) for index in range(2)
    ]
    kind = ("pairwise", "adam", "hashed")
    alone, workers = tmp_path / "alone.npz", [tmp_path / f"worker-{index}.npz" for index in range(2)]
    started = [_start(file, "workers", kind, cluster) for file, cluster in zip(workers, clusters, strict=True)]
    _finish(_start(alone, "one", kind), *started)
    for file in workers:
        _assert_same(alone, file, kind)
