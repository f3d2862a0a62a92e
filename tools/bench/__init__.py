"""Measurements of the site and its snippets, one module for each section."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
REPEATS = 3  # of what takes seconds; the median is given
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Row = dict[str, str | float]  # a line of a table, by the heading of its column
