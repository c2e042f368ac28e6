"""Writes build/tutorials/clicks.csv: which customers of a shop clicked which products, and when."""

from __future__ import annotations

import datetime

import numpy as np

from examples.tutorials import planted

_SHELVES = ("books", "garden", "kitchen", "music", "sport", "toys")
_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def clicks(customers: int = 500) -> list[tuple[str, str, str]]:
    """Returns customer, product and time of each click. Nine of ten clicks are on two shelves of a customer."""
    random = np.random.default_rng(11)
    names = [f"customer-{number:03}" for number in range(1, customers + 1)]
    tastes = planted.draw(random, names, _SHELVES, members=25, liked=2)
    rows = []
    for customer, likes in zip(tastes.left, tastes.likes, strict=True):
        chances = np.exp(2.5 * likes)
        seen = random.choice(len(tastes.right), 25, replace=False, p=chances / chances.sum())
        for product, second in zip(seen, sorted(random.integers(0, 30 * 86400, 25)), strict=True):
            when = _START + datetime.timedelta(seconds=int(second))
            rows.append((customer, tastes.right[product], when.strftime("%Y-%m-%dT%H:%M:%SZ")))
    return rows


if __name__ == "__main__":
    planted.write("clicks.csv", ("customer", "product", "time"), clicks())
