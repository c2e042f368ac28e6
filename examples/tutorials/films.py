"""Writes build/tutorials/ratings.csv: stars from 1 to 5 that people give to films of the genres they like or not."""

from __future__ import annotations

import numpy as np

from examples.tutorials import planted

_GENRES = ("comedy", "drama", "horror", "scifi", "western")


def ratings(people: int = 400) -> list[tuple[str, str, int]]:
    """Returns user, film and stars of each rating. Everybody likes two genres and rates 40 films."""
    random = np.random.default_rng(7)
    names = [f"user-{number:03}" for number in range(1, people + 1)]
    tastes = planted.draw(random, names, _GENRES, members=30, liked=2)
    rows = []
    for user, likes in zip(tastes.left, tastes.likes, strict=True):
        for film in random.choice(len(tastes.right), 40, replace=False):
            stars = np.clip(round(3.2 + 1.4 * likes[film] + random.normal(0, 0.6)), 1, 5)
            rows.append((user, tastes.right[film], int(stars)))
    return rows


if __name__ == "__main__":
    planted.write("ratings.csv", ("user", "film", "stars"), ratings())
