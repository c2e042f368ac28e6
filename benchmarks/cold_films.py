"""Films without ratings: how well genres and titles rank them, on MovieLens 1M.

    python -m benchmarks.cold_films

Positives are ratings of 4 and 5. A tenth of the films is held out with all its ratings. Each user's held-out films are
ranked among all held-out ones: by the published model from genres and titles, in the order of ids, and by their true
popularity, which no model can know. `KINDRED_BENCH_DATA` names the folder with `ml-1m` (docs/quality.md).
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import research_data

_LIKED = 4
_METRIC = "cold_recall@20"
_PIPELINE = """
name: cold-films
data:
  path: pairs.csv
  columns: {{left: user, right: film}}
  split: {{by: right}}
  right_features:
    path: {films}
    id: 0
    columns:
      title: {{column: 1, kind: text, min_count: 2}}
      genres: {{column: 2, kind: tags}}
model: {{objective: ials, dimension: 64, regularization: 0.003, unobserved_weight: 0.05}}
train: {{epochs: 6}}
evaluate:
  metrics: [{metric}]
  bless: [{{metric: {metric}, better_than: baseline}}]
"""


def main() -> None:
    """Runs the pipeline. Prints the recall of each ranking."""
    data = research_data.folder() / "ml-1m"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_positives(data / "ratings.csv.gz", folder / "pairs.csv")
        text = _PIPELINE.format(films=data / "movies.dat.gz", metric=_METRIC)
        (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
        root = folder / "root"
        command = [
            sys.executable,
            "-m",
            "kindred",
            "run",
            "--config",
            str(folder / "pipeline.yaml"),
            "--root",
            str(root),
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (summary,) = root.glob("runs/*/summary.json")
        metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
        (examples,) = root.glob("pipeline/PairExampleGen/examples/*")
        figures = {
            "genres and titles": metrics[_METRIC],
            "order of ids": metrics[f"baseline_{_METRIC}"],
            "true popularity": _of_true_popularity(str(examples)),
        }
        for ranking, recall in figures.items():
            print(f"{ranking:<20} {_METRIC.removeprefix('cold_')} {recall:.4f}")


def _write_positives(ratings: Path, pairs: Path) -> None:
    with gzip.open(ratings, "rt", encoding="utf-8") as source, pairs.open("w", encoding="utf-8") as out:
        next(source)
        out.write("user,film\n")
        for line in source:
            user, film, rating = line.split(",")[:3]
            if float(rating) >= _LIKED:
                out.write(f"{user},{film}\n")


def _of_true_popularity(examples: str) -> float:
    """Returns the recall of a ranking of the held-out films by the number of their held-out positives."""
    from components import coded_pairs
    from components.evaluator.figures import find
    from components.ranking_evaluator.cold import measure_cold
    from components.ranking_evaluator.task import Task, of_popularity

    pairs = coded_pairs.read(examples)
    task = Task.of(pairs, 0.0, None)
    popularity = np.bincount(pairs.eval.right, minlength=len(pairs.right_ids)).astype(np.float32)
    nothing = np.zeros((len(popularity), 1), np.float32)
    ranker = dataclasses.replace(
        of_popularity(pairs, task), catalogue=nothing, bias=popularity, row=np.arange(len(popularity))
    )
    figures = measure_cold([_METRIC.removeprefix("cold_")], ranker, {}, task, pairs)
    value = find(figures, _METRIC).value
    assert value is not None
    return value


if __name__ == "__main__":
    main()
