"""snippets/accuracy_noise.py against SciPy and by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

import accuracy_noise as an


@pytest.mark.parametrize(("percent", "n"), [(97.8, 10_000), (99.67, 10_000), (30, 7)])
def test_the_error_is_that_of_a_binomial_share(percent, n):
    wanted = 100 * binom(n, percent / 100).std() / n
    assert an.standard_error(percent, n) == pytest.approx(wanted, abs=1e-10)


def test_errors_by_hand():
    assert an.standard_error(50, 100) == 5  # 50 heads of 100, give or take 5
    assert an.standard_error(100, 1) == an.standard_error(0, 1) == 0
    assert an.standard_error(99) == an.standard_error(99, 10_000)
    # variances 25 and 25 - 1 of shares of 100: the gap of 10 has sqrt(49)
    assert an.z_of_gap(50, 60, 100) == pytest.approx(10 / 7, abs=1e-12)
    assert an.z_of_gap(60, 50, 100) == pytest.approx(-10 / 7, abs=1e-12)
    assert an.z_of_gap(99.37, 99.43) == an.z_of_gap(99.37, 99.43, 10_000)


def test_z_is_the_spread_of_gaps_on_different_images():
    rng = np.random.default_rng(0)
    a, b = (rng.binomial(500, share, 100_000) / 5 for share in (0.9, 0.95))
    spread = np.std(b - a)
    assert an.z_of_gap(90, 95, 500) == pytest.approx(5 / spread, rel=0.02)


@pytest.mark.parametrize("lost", [0, 1, 6, 57, 94])
@pytest.mark.parametrize("won", [0, 2, 6, 63, 122])
def test_the_sign_test_is_scipy_s(lost, won):
    wanted = binomtest(won, lost + won).pvalue if lost + won else 1.0
    assert an.sign_test(lost, won) == pytest.approx(wanted, rel=1e-10)
    assert an.sign_test(lost, won) == an.sign_test(won, lost)


def test_sign_tests_by_hand():
    assert an.sign_test(0, 1) == 1  # one throw is always as one-sided as that
    assert an.sign_test(0, 5) == 2 / 2**5
    assert an.sign_test(1, 4) == 2 * (5 + 1) / 2**5
    assert an.sign_test(3, 3) == 1


def test_overlap_decides():
    assert an.chances(63, 57) == (an.sign_test(57, 63), 2 / 2**6)
    assert an.chances(57, 63) == (an.sign_test(57, 63), 2 / 2**6)
    apart, nested = an.chances(122, 94)
    for common in range(95):
        between = an.sign_test(94 - common, 122 - common)
        assert nested <= between <= apart


def test_numbers_by_hand():
    n = an.numbers()
    assert [n[f"wrong_{k}"] for k in range(1, 10)] == [
        220, 122, 94, 77, 63, 57, 53, 40, 33,
    ]  # fmt: skip
    assert [n[f"fewer_{k}"] for k in range(2, 10)] == [98, 28, 17, 14, 6, 4, 13, 7]
    assert an.wrong(99.5) == 50
    assert n["error_1"] == pytest.approx(0.1467, abs=5e-5)
    assert n["error_9"] == pytest.approx(0.0574, abs=6e-5)
    assert n["z_2"] == pytest.approx(0.98 / math.hypot(0.1467, 0.1098), rel=1e-3)
    assert n["z_9"] == pytest.approx(0.07 / math.hypot(0.06312, 0.05735), rel=1e-3)
    assert n["z_5_to_7"] == pytest.approx(0.932, abs=1e-3)
    assert n["z_5_to_8"] == pytest.approx(2.2724, abs=1e-4)
    assert n["p_apart_3"] == pytest.approx(binomtest(94, 216).pvalue, rel=1e-10)
    assert n["p_nested_7"] == 2 / 2**4
    assert n["p_apart_5_to_8"] == pytest.approx(binomtest(40, 103).pvalue, rel=1e-10)
    assert n["fewest"] == 6  # 2 / 2^5 is above 0.05, 2 / 2^6 below
    assert "z_1" not in n


def test_bad_input_is_named():
    for percent, n in ((-1, 10), (101, 10), (50, 0)):
        with pytest.raises(
            ValueError, match=f"percent from 0 .* got {percent} and {n}"
        ):
            an.standard_error(percent, n)
    for lost, won in ((-1, 2), (2, -1)):
        with pytest.raises(ValueError, match=f">= 0, got lost {lost} and won {won}"):
            an.sign_test(lost, won)
