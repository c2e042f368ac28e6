"""A run that is killed during training: the next run resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import KINDRED, kindred, last_summary, states

EPOCHS = 10


def _wait_for_epochs(root: Path, count: int, process: subprocess.Popen[bytes]) -> int:
    """Waits until the training has written so many epochs. Returns their number."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        for state in root.glob("pipeline/Trainer/unfinished/*/state.json"):
            done = len(json.loads(state.read_text())["loss"])
            if done >= count:
                return done
        time.sleep(0.05)
    raise AssertionError("no epoch was kept")


def test_next_run_resumes_killed_training(tmp_path: Path) -> None:
    config, root = planted.write_pipeline(tmp_path), tmp_path / "root"
    # Small batches, so that an epoch takes long enough to be interrupted.
    changed = (f"train.epochs={EPOCHS}", "train.batch_size=2", "train.early_stopping=null", "train.optimizer=adagrad")
    arguments = ["run", "--config", config, "--root", root, *(part for key in changed for part in ("--set", key))]
    temporary = _created(tmp_path / "temporary")
    process = subprocess.Popen(
        [KINDRED, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    done = _wait_for_epochs(root, 2, process)
    process.send_signal(signal.SIGSTOP)  # so that it does not continue during the checks
    _assert_told(root, "running, at Trainer since ", "The run is in progress, at Trainer since ")
    process.kill()
    process.wait()
    assert done < EPOCHS and list(temporary.iterdir())
    _assert_told(root, "killed at Trainer, or its machine", "The run was killed at Trainer, or its machine stopped.")

    finished = kindred(*arguments, temporary=temporary)
    assert finished.returncode == 0, finished.stderr
    assert not list(temporary.iterdir())
    summary = last_summary(root)
    assert states(summary)["Transform"] == "cached" and states(summary)["Trainer"] == "executed"
    log = (root / "runs" / summary["run_id"] / "run.log").read_text(errors="replace")
    taken_up = [line for line in log.splitlines() if "training resumes after epoch" in line]
    assert len(taken_up) == 1 and done <= int(taken_up[0].split()[-1]) < EPOCHS
    (history,) = root.glob("pipeline/Trainer/model_run/*/history.json")
    assert len(json.loads(history.read_text())["loss"]) == EPOCHS
    assert not (root / "pipeline" / "Trainer" / "unfinished").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 1)])
def test_signal_ends_run_with_record(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The first during the import of TensorFlow, the others when the server of the canary runs."""
    config, root, temporary = planted.write_pipeline(tmp_path), tmp_path / "root", _created(tmp_path / "temporary")
    process = subprocess.Popen(
        [KINDRED, "run", "--config", str(config), "--root", str(root), "--set", "train.batch_size=2"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        # The tests may run under nohup or in the background, where signals are ignored.
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGHUP, signal.SIGINT)],
    )  # fmt: skip
    if number is signal.SIGTERM:
        _until(lambda: list(root.glob("runs/*/summary.json")), process)
    else:
        _until(lambda: list(root.glob("pipeline/Transform/transform_graph/*/metadata")), process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    what = "interrupted" if number is signal.SIGINT else f"stopped by {number.name}"
    assert last_summary(root)["error"] == f"{what}. Rerun the command to resume. Finished components are reused"
    assert f"{what}. Rerun the command" in output
    with pytest.raises(ProcessLookupError):  # nothing of its session is left
        os.killpg(process.pid, 0)
    assert not list(temporary.iterdir())


def _created(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _until(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not happened() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.02)


def _assert_told(root: Path, words: str, headline: str) -> None:
    """Runs `kindred report`. Checks that the record and the report of the run have the ended components."""
    summary = last_summary(root)
    assert states(summary)["Transform"] == "executed" and "Trainer" not in states(summary)
    done = kindred("report", "--root", root)
    assert done.returncode == 0 and done.stderr.startswith(f"planted {summary['run_id']}: {words}")
    text = Path(done.stdout.strip()).read_text(encoding="utf-8")
    assert headline in text and "could not be created" not in text and "The run failed" not in text
