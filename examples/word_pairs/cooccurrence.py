"""Scores pairs of nearby words in texts by how much more often they occur than by chance.

The score is pointwise mutual information (Church & Hanks 1990, section 3), natural logarithm:

    pmi(w, c) = log( p(w, c) / (p(w) p(c)) ) = log( observed(w, c) / expected(w, c) )

with two refinements for small texts:

- context-distribution smoothing, p(c) ~ count(c) ** 0.75 (Levy, Goldberg & Dagan 2015, section 3.2), and
- shrinkage, log((observed + s) / (expected + s)): the mean of a Gamma(s, s) prior on observed/expected after a Poisson
  count (DuMouchel 1999), so that a rare pair that occurs twice by chance does not outrank a common one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_WORD = re.compile(r"[a-z_]*[a-z][a-z_]+|[a-z]_+")

FUNCTION_WORDS = frozenset(
    "about above after again against all also am an and any are as at be because been before being below between both"
    " but by can cannot could did do does doing down during each eg either else etc even ever few for from further had"
    " has have having he hence her here him his how however ie if in instead into is it its itself just like may me"
    " might more most must my neither no nor not note now of off often on once one only or other others otherwise our"
    " out over own per rather same see shall she should since so some still such than that the their them themselves"
    " then there therefore these they this those though through thus to too two under until up upon us use used uses"
    " using very via was way we well were what when where whether which while who whose why will with within without"
    " would yet you your return returned returns".split()
)


@dataclass(frozen=True)
class Recipe:
    """Settings of counting and filtering. The README of the example has the measurements behind the defaults."""

    window: int = 8  # words on each side that count as near
    words: int = 4000  # size of the left side, the words in most texts
    contexts: int = 1200  # size of the right side, which has only frequent words
    min_texts: int = 3  # ignore words in fewer texts
    min_count: int = 2  # ignore pairs in fewer texts
    smoothing: float = 0.75
    shrinkage: float = 1.0


class ScoredPair(NamedTuple):
    """A row of the data."""

    word: str
    context: str
    pmi: float


def tokens(text: str) -> list[str]:
    """Returns the lower-case words of letters and underscores, without function words. `os.path.join` has three."""
    return [word for word in _WORD.findall(text.lower()) if word not in FUNCTION_WORDS]


def scored_pairs(texts: Iterable[str], recipe: Recipe = Recipe()) -> list[ScoredPair]:
    """Returns the frequent pairs with their scores, sorted by word, then context."""
    tokenized = [tokens(text) for text in texts]
    frequent = _by_frequency(tokenized, recipe.min_texts)
    counts = count_pairs(tokenized, set(frequent[: recipe.words]), set(frequent[: recipe.contexts]), recipe.window)
    return sorted(_score(counts, recipe))


def _by_frequency(tokenized: Iterable[list[str]], min_texts: int) -> list[str]:
    counts = Counter(word for text in tokenized for word in set(text))
    return sorted((word for word, n in counts.items() if n >= min_texts), key=lambda word: (-counts[word], word))


def count_pairs(
    tokenized: Iterable[list[str]], words: set[str], contexts: set[str], window: int
) -> Counter[tuple[str, str]]:
    """Counts the texts in which each context occurs within `window` words of each word.

    Words outside the vocabulary are removed before the window is applied (the "dirty" sub-sampling of Levy, Goldberg &
    Dagan 2015, section 3.1). A text counts once per pair, because a long table of the same two words is only one piece
    of evidence.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for text in tokenized:
        counts.update(_pairs_in([word for word in text if word in words], contexts, window))
    return counts


def _pairs_in(text: list[str], contexts: set[str], window: int) -> set[tuple[str, str]]:
    pairs = set()
    for position, first in enumerate(text):
        for second in text[position + 1 : position + 1 + window]:
            if second in contexts:
                pairs.add((first, second))
            if first in contexts:
                pairs.add((second, first))
    return {(word, context) for word, context in pairs if word != context}


def _score(counts: Counter[tuple[str, str]], recipe: Recipe) -> Iterator[ScoredPair]:
    of_word: Counter[str] = Counter()
    of_context: Counter[str] = Counter()
    for (word, context), observed in counts.items():
        of_word[word] += observed
        of_context[context] += observed
    smoothed = {context: n**recipe.smoothing for context, n in of_context.items()}
    total = math.fsum(smoothed.values())
    for (word, context), observed in counts.items():
        if observed >= recipe.min_count:
            expected = of_word[word] * smoothed[context] / total
            ratio = (observed + recipe.shrinkage) / (expected + recipe.shrinkage)
            yield ScoredPair(word, context, math.log(ratio))
