"""Numbers and lists as a page prints them: a minus sign, powers of ten, an “and”."""

import pytest

from notation import fixed, in_words, printed, printed_beside


@pytest.mark.parametrize(
    ("value", "shown"), [(0.125, "0.12"), (-0.004, "0.00"), (-1234.5, "−1,234.50")]
)
def test_a_number_of_a_picture_has_a_minus_sign_and_no_negative_zero(value, shown):
    assert fixed(value, 2) == shown


@pytest.mark.parametrize(
    ("says", "shown"),
    [
        ("0.50", "0.50"),
        ("9999", "9999"),
        ("10000", "10,000"),
        ("51600", "51,600"),
        ("-51600", "−51,600"),
        ("-0.5", "−0.5"),
        ("12345.60", "12,345.60"),
        ("3.3e18", "3.3 × 10¹⁸"),
        ("65e6", "65 × 10⁶"),
        ("1E-10", "1 × 10⁻¹⁰"),
        ("2.0e+3", "2.0 × 10³"),
    ],
)
def test_the_source_is_shown_as_it_prints(says, shown):
    assert printed(says) == shown


@pytest.mark.parametrize(
    ("ours", "says", "shown"),
    [
        (51600, "51600", "51,600"),
        (9999.0, "10000", "9999"),
        (1 / 3, "0.50", "0.3333"),
        (2 / 3, "0.5", "0.667"),
        (12345.678, "12346", "12,345.68"),
        (3.27891e18, "3.3e18", "3.279 × 10¹⁸"),
        (0.5, "0.50", "0.5000"),
        (-0.126, "-0.1", "−0.126"),
        (-3, "-3", "−3"),
        (0, "0.5", "0"),
        (1e-9, "0.5", "1.0 × 10⁻⁹"),
        (0.00123, "1e-3", "1.23 × 10⁻³"),
        (0.09e6, "1.0e6", "9.000 × 10⁴"),
        (999.94e6, "65e6", "999.94 × 10⁶"),
        (1000e6, "65e6", "1.00 × 10⁹"),
        (-65_049_600, "65e6", "−65.05 × 10⁶"),
        (65_049_600, "65e6", "65.05 × 10⁶"),
    ],
)
def test_ours_is_shown_in_the_manner_of_the_source_with_two_digits_more(
    ours, says, shown
):
    assert printed_beside(ours, says) == shown


@pytest.mark.parametrize(
    ("items", "words"),
    [([], ""), (["one"], "one"), ([1, 3], "1 and 3"), ([1, 3, 4], "1, 3 and 4")],
)
def test_a_list_in_a_sentence_has_one_and(items, words):
    assert in_words(items) == words
