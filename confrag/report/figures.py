"""Numbers for people: as many digits as count, units that can be read, no false precision."""

from __future__ import annotations

__all__ = ["cost", "count", "duration", "p_value", "percent", "score", "signed", "tick"]

_SYMBOLS = {"USD": "$", "EUR": "€", "CNY": "¥", "GBP": "£"}


def score(value: float | None) -> str:
    """A metric between 0 and 1."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference of metrics, with its sign; a real minus, which lines up with the plus."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def percent(share: float | None) -> str:
    """A share, as whole percents."""
    return "–" if share is None else "< 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def p_value(p: float) -> str:
    """A p-value; what lies below a thousandth is not told apart."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def duration(milliseconds: float | None) -> str:
    """A time, in the unit that suits it."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def count(value: float | None) -> str:
    """A count, thousands apart; a mean of counts with one digit where it is small."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 or float(value).is_integer() else f"{value:.1f}"


def cost(amount: float | None, currency: str | None) -> str:
    """An amount of money: two digits behind the point, or the first two that are not 0."""
    if amount is None:
        return "–"
    number = (
        f"{amount:,.2f}" if amount == 0 or amount >= 0.1 else f"{amount:.2g}" if amount >= 1e-4 else f"{amount:.1e}"
    )
    symbol = _SYMBOLS.get(currency or "", "")
    return f"{symbol}{number}" if symbol else f"{number} {currency or ''}".strip()


def tick(value: float, sign: bool = False) -> str:
    """A label of an axis: no more digits than it has."""
    text = f"{value:+.4g}" if sign and value else f"{value:.4g}"
    return text.replace("-", "−")
