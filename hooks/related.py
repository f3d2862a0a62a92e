"""Which pages speak of the same things: by words that they share and others lack."""

import re
from collections import Counter
from math import log, sqrt

WORD = re.compile(r"[a-z]{3,}")


def related(texts: dict[str, str], count: int) -> dict[str, list[str]]:
    """Per page, the others whose words are most like its own, the nearest first.

    Likeness is the cosine between counts of words, each weighed by how few pages have
    it: sqrt(tf) log(pages / pages that have the word).
    """
    words = {key: Counter(WORD.findall(text.lower())) for key, text in texts.items()}
    pages_with = Counter(word for counted in words.values() for word in counted)
    vectors = {}
    for key, counted in words.items():
        weights = {
            word: sqrt(times) * log(len(texts) / pages_with[word])
            for word, times in counted.items()
        }
        length = sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        vectors[key] = {word: weight / length for word, weight in weights.items()}

    def likeness(one: str, other: str) -> float:
        a, b = vectors[one], vectors[other]
        return sum(weight * b[word] for word, weight in a.items() if word in b)

    return {
        key: sorted((k for k in texts if k != key), key=lambda k: -likeness(key, k))[
            :count
        ]
        for key in texts
    }
