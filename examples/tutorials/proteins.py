"""Writes build/tutorials/affinities.csv: how strongly drugs bind proteins (pKd), a part of all pairs."""

from __future__ import annotations

import numpy as np

from examples.tutorials import planted

_FAMILIES = ("gpcr", "kinase", "protease", "transporter")


def affinities(drugs: int = 200) -> list[tuple[str, str, str]]:
    """Returns drug, protein and pKd of each measurement. A drug binds one family of proteins, and hardly any other."""
    random = np.random.default_rng(3)
    names = [f"drug-{number:03}" for number in range(1, drugs + 1)]
    tastes = planted.draw(random, names, _FAMILIES, members=20, liked=1)
    rows = []
    for drug, likes in zip(tastes.left, tastes.likes, strict=True):
        for protein in random.choice(len(tastes.right), 40, replace=False):
            affinity = 6.5 + likes[protein] + random.normal(0, 0.3)
            rows.append((drug, tastes.right[protein], f"{affinity:.2f}"))
    return rows


if __name__ == "__main__":
    planted.write("affinities.csv", ("drug", "protein", "pkd"), affinities())
