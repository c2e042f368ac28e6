"""Kills runs at random points and checks what is left after each kill.

    python -m tests.reliability.kills [--kills 100] [--seed 24]

One root sees all kills. After each: every published version is whole, and `kindred report` describes the run. After
some kills, the run is given time to end: it publishes, and the model gives the planted answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kindred.manifest import damage
from tests.e2e import planted
from tests.e2e.command import KINDRED, kindred, last_summary

_FINISH_EACH = 10


def kill_often(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kills runs of planted pairs, and lets every tenth one and the last one finish.

    Args:
      folder: an empty directory.
      kills: how many.
      seed: of the points in time.

    Returns:
      Counts: `kills`, `at NODE` for the component of each kill, `before` the first one, and `finished` runs.

    Raises:
      AssertionError: a promise is broken.
    """
    config, root = planted.write_pipeline(folder), folder / "root"
    numbers = random.Random(seed)
    longest = _finish(config, root, ())
    counts = {"kills": 0, "finished": 1}
    while counts["kills"] < kills:
        changed = ("--set", f"train.seed={numbers.randrange(10**6)}")  # so that the training is not cached
        words = [KINDRED, "run", "--config", str(config), "--root", str(root), *changed]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        since = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(numbers.uniform(0, longest))
            longest = time.monotonic() - since
            continue  # it has ended before the kill
        os.killpg(process.pid, signal.SIGKILL)  # as when a machine stops: its children, too
        process.wait()
        counts["kills"] += 1
        where = _check(root)
        counts[where] = counts.get(where, 0) + 1
        if counts["kills"] % _FINISH_EACH == 0 or counts["kills"] == kills:
            longest = _finish(config, root, changed)
            counts["finished"] += 1
    return counts


def _check(root: Path) -> str:
    """Checks the root after a kill. Returns where the run was."""
    for version in _versions(root):
        assert damage(str(version)) is None, version
    described = kindred("report", "--root", root)
    assert described.returncode == 0, described.stderr
    states = (line for line in described.stderr.splitlines() if "killed" in line)
    line = next(states, "before the record")
    return " ".join(line.split("killed")[-1].split(",")[0].split()) or "between components"


def _versions(root: Path) -> Iterator[Path]:
    return (path for path in (root / "serving").glob("*") if path.name.isdecimal())


def _finish(config: Path, root: Path, changed: tuple[str, ...]) -> float:
    """Runs to the end, and checks the answer of the published model. Returns the seconds."""
    since = time.monotonic()
    done = kindred("run", "--config", config, "--root", root, *changed)
    took = time.monotonic() - since
    assert done.returncode == 0, done.stderr
    summary = last_summary(root)
    same, other = (
        json.loads(kindred("score", "--model", root / "serving", "--json", planted.left_id(0), right).stdout)
        for right in (planted.right_id(0), planted.right_id(1))
    )
    assert summary["status"] == "published"
    assert _score(same) > 1 > 0 > _score(other)
    return took


def _score(answer: object) -> float:
    found = answer[0] if isinstance(answer, list) else answer
    assert isinstance(found, dict)
    return float(found["score"])


def main() -> None:
    """Prints the counts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.kills", description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-kills-") as folder:
        print(json.dumps(kill_often(Path(folder), arguments.kills, arguments.seed)))


if __name__ == "__main__":
    main()
