"""From texts to scored pairs: which words stand near which others, and how much more often than by chance.

The score is pointwise mutual information (Church & Hanks 1990, section 3), natural logarithm:

    pmi(w, c) = log( p(w, c) / (p(w) p(c)) ) = log( observed(w, c) / expected(w, c) )

with the two refinements that make it fit for learning from a small text:

- context-distribution smoothing, p(c) ~ count(c) ** 0.75 (Levy, Goldberg & Dagan 2015, section 3.2), and
- shrinkage, log((observed + s) / (expected + s)): the mean of a Gamma(s, s) prior on observed/expected after a Poisson
  count (DuMouchel 1999), so that a rare pair seen twice by luck does not outrank a common one.
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
    """How pairs are counted and which are kept. The defaults are measured: see the README of the example."""

    window: int = 8  # how many words to the right, and to the left, count as near
    words: int = 4000  # the left side: so many words, those found in most texts
    contexts: int = 1200  # the right side: a context must be frequent enough to be an answer worth giving
    min_texts: int = 3  # a word found in fewer texts is left out
    min_count: int = 2  # a pair is kept if it was observed in at least so many texts
    smoothing: float = 0.75
    shrinkage: float = 1.0


class ScoredPair(NamedTuple):
    """A line of the data."""

    word: str
    context: str
    pmi: float


def tokens(text: str) -> list[str]:
    """Lower-case words of at least two letters or underscores, function words left out: `os.path.join` is three."""
    return [word for word in _WORD.findall(text.lower()) if word not in FUNCTION_WORDS]


def scored_pairs(texts: Iterable[str], recipe: Recipe = Recipe()) -> list[ScoredPair]:
    """All pairs worth keeping with their score, sorted by word, then context."""
    tokenized = [tokens(text) for text in texts]
    frequent = _by_frequency(tokenized, recipe.min_texts)
    counts = count_pairs(tokenized, set(frequent[: recipe.words]), set(frequent[: recipe.contexts]), recipe.window)
    return sorted(_score(counts, recipe))


def _by_frequency(tokenized: Iterable[list[str]], min_texts: int) -> list[str]:
    found_in = Counter(word for text in tokenized for word in set(text))
    return sorted((word for word, n in found_in.items() if n >= min_texts), key=lambda word: (-found_in[word], word))


def count_pairs(
    tokenized: Iterable[list[str]], words: set[str], contexts: set[str], window: int
) -> Counter[tuple[str, str]]:
    """In how many texts each context stands within `window` words of each word.

    Words outside the vocabulary are dropped before the window is laid (the "dirty" sub-sampling of Levy, Goldberg &
    Dagan 2015, section 3.1). A text counts once for a pair however often it repeats it: one long table of the same
    two words is one piece of evidence.
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
