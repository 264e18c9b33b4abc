"""How a value is written, wherever a page or a terminal shows one."""

from typing import Any

MISSING = "–"


def number(value: Any) -> str:
    """Three decimals (from 1000 on four digits), yes and no, a dash for what there is not."""
    if value is None or value != value:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
    return str(value)


def p_value(value: float | None) -> str:
    """A p-value of random circuits; None where too few were drawn for one."""
    return "not stated, of too few" if value is None else f"{value:.3f}"
