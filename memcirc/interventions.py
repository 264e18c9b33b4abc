"""How a circuit is run: the statement that every number about a circuit carries.

Two ways to run a circuit C (``mode``), each in two directions (``reverse``):

=====  ========  ============  ==========================================================
mode   reverse   base prompt   patched
=====  ========  ============  ==========================================================
tree   no        clean         every edge outside C takes its ablation value
tree   yes       corrupt       the same
edge   no        corrupt       every edge of C takes its ablation value (denoising)
edge   yes       clean         the same (noising)
=====  ========  ============  ==========================================================

Under ``resample`` the ablation value is the source's activation in the other prompt. Identity: edge mode of C is tree
mode of its complement in the other direction.
"""

from dataclasses import dataclass

MODES = ("tree", "edge")
ABLATIONS = ("resample", "zero", "mean-clean", "mean-corrupt", "mean-both", "mean-all")
DANGLING = ("keep", "prune")


def takes_means(ablation: str) -> bool:
    """Whether an ablation averages over reference pairs."""
    return ablation.startswith("mean-")


@dataclass(frozen=True)
class RunSettings:
    """Mode, ablation, direction, and what a node without kept inputs outputs.

    ``dangling="keep"``: what it computes from ablated inputs (AutoCircuit); ``"prune"``: its ablation value (EAP-IG).
    Under resample both are the same.

    Raises:
        ValueError: an unknown word, or ``prune`` in edge mode.
    """

    mode: str
    ablation: str = "resample"
    reverse: bool = False
    dangling: str = "keep"

    def __post_init__(self) -> None:
        for name, accepted in (("mode", MODES), ("ablation", ABLATIONS), ("dangling", DANGLING)):
            value = getattr(self, name)
            if value not in accepted:
                raise ValueError(f"{name} {value!r} is not known; accepted: {', '.join(accepted)}")
        if self.mode == "edge" and self.dangling == "prune":
            raise ValueError(
                "dangling 'prune' keeps a circuit's connected part, which mode 'edge' does not run; use 'keep'"
            )

    @property
    def base(self) -> str:
        """The prompt that runs; the other one gives the values under resample."""
        return "clean" if (self.mode == "tree") != self.reverse else "corrupt"

    @property
    def direction(self) -> str:
        """Does patching take the clean behaviour away (base clean) or bring it back (base corrupt)?"""
        return "noising" if self.base == "clean" else "denoising"

    @property
    def caveat(self) -> str:
        """What a reader must be told about this combination; empty where the name says it all."""
        if self.mode == "edge" and not self.reverse and self.ablation != "resample":
            return "ablates the circuit on the corrupt run"
        return ""
