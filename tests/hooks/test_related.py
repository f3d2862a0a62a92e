"""Pages are near to each other by the words that they share and others lack."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from related import related

TEXTS = {
    "gates": "a gate keeps the state and the gate forgets the state",
    "cells": "a cell keeps its state by a gate",
    "filters": "a filter slides over the image and the image shrinks",
    "pools": "pooling shrinks the image",
}


def test_the_nearest_comes_first():
    near = related(TEXTS, 1)
    assert near == {
        "gates": ["cells"],
        "cells": ["gates"],
        "filters": ["pools"],
        "pools": ["filters"],
    }


def test_a_page_is_not_near_to_itself_and_as_many_come_as_were_asked_for():
    near = related(TEXTS, 3)
    assert all(key not in others for key, others in near.items())
    assert {len(others) for others in near.values()} == {3}


def test_the_order_is_that_of_scikit_learn():
    """Its idf adds one and smooths: with the logarithm alone set in, they agree."""
    vectorizer = TfidfVectorizer(token_pattern="[a-z]{3,}", norm=None)
    counts = np.sqrt(
        vectorizer.fit_transform(TEXTS.values()).toarray() / vectorizer.idf_
    )
    idf = np.log(len(TEXTS) / (counts > 0).sum(axis=0))
    vectors = counts * idf
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T - 2 * np.eye(len(TEXTS))
    keys = list(TEXTS)
    wanted = {
        key: [keys[i] for i in np.argsort(-likeness[row], kind="stable")[:3]]
        for row, key in enumerate(keys)
    }
    assert related(TEXTS, 3) == wanted


def test_a_page_without_words_is_near_to_nothing_in_particular():
    assert len(related(TEXTS | {"empty": ""}, 2)["empty"]) == 2
