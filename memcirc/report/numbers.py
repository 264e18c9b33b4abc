"""How a value is written, wherever a page or a terminal shows one."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from memcirc.metrics import WITH_TOKENS, Metric
from memcirc.statistics import usual

MISSING = "–"
KEPT_SIGNS = "\n\t"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode's categories of what is not seen but acts: controls, overrides of the direction of writing, surrogates."""


def visible(value: Any) -> Any:
    """Text with a code in place of every sign that would act unseen (a control character, an override of the direction
    of writing), so that a passage is shown and not obeyed; anything else, and markup of ours, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        f"\\u{ord(sign):04x}" if unicodedata.category(sign) in UNSEEN and sign not in KEPT_SIGNS else sign
        for sign in value
    )


def number(value: Any) -> str:
    """Three decimals (from 1000 on four digits), yes and no, a dash for what there is not."""
    if value is None or value != value:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
    return str(value)


def unit_of(metric: str) -> str:
    """What a metric counts in; empty for a share or a number."""
    return Metric.parse(metric, WITH_TOKENS).unit


def in_unit(value: float, metric: str) -> str:
    """A value of a metric, with the unit of that."""
    return f"{value:.3f} {unit_of(metric)}".rstrip()


def ends(measured: Mapping[str, Any]) -> str:
    """The two ends that a faithfulness was normalised with, and what lies between them."""
    nothing, everything, metric = (measured[name] for name in ("nothing", "everything", "metric"))
    return (
        f"its ends lie {in_unit(abs(everything - nothing), metric)} apart ({nothing:.3f} with no edge at work, "
        f"{everything:.3f} with all)"
    )


def unusual(measured: Mapping[str, Any]) -> str:
    """What must be said of a faithfulness that lies far outside 0 to 1; nothing of another one, or where there is
    none."""
    if not {"faithfulness", "nothing", "everything", "metric"} <= measured.keys() or usual(measured["faithfulness"]):
        return ""
    return f"far outside 0 to 1: {ends(measured)}"


def p_value(value: float | None) -> str:
    """A p-value of random circuits; None where too few were drawn for one."""
    return "not stated, of too few" if value is None else f"{value:.3f}"
