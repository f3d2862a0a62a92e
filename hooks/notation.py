"""Numbers and lists as a page prints them."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal


def fixed(value: float, digits: int) -> str:
    """So many digits after the point, a true minus sign, and none before zero."""
    return _minus(f"{value:z,.{digits}f}")


def printed(says: str) -> str:
    """A source's number as a page shows it: 51600 → 51,600; 3.3e18 → 3.3 × 10¹⁸."""
    if "e" in says.lower():
        return scientific(says)
    return _minus(f"{Decimal(says):,}" if abs(Decimal(says)) >= 10_000 else says)


def printed_beside(ours: float, says: str) -> str:
    """Our number in the manner of the source's, with two digits more."""
    if "e" in says.lower():
        mantissa, exponent = says.lower().split("e")
        decimals = len(mantissa.partition(".")[2]) + 2
        scaled = ours / 10.0 ** int(exponent)
        if 0.1 <= abs(scaled) < 1000:
            return scientific(f"{scaled:.{decimals}f}e{exponent}")
        return scientific(f"{ours:.{decimals}e}")
    if float(ours).is_integer():
        return _minus(f"{int(ours):,}" if abs(ours) >= 10_000 else str(int(ours)))
    exponent_of_says = Decimal(says).as_tuple().exponent
    assert isinstance(exponent_of_says, int)
    decimals = max(2 - exponent_of_says, 0)
    value = Decimal(repr(float(ours))).quantize(
        Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN
    )
    if value == 0 and ours != 0:
        return scientific(f"{ours:.1e}")
    return _minus(f"{value:,}")


def scientific(text: str) -> str:
    """`3.3e18` as it is written by hand: 3.3 × 10¹⁸."""
    mantissa, exponent = text.lower().split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{_minus(mantissa)}\u00a0×\u00a010{raised}"  # on one line


def in_words(items: Iterable[object]) -> str:
    """Several in a sentence: `1`, `1 and 3`, `1, 3 and 4`; of none the empty text."""
    *others, last = [str(item) for item in items] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _minus(text: str) -> str:
    return text.replace("-", "−")
