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

Under ``resample`` the ablation value is the source's activation in the other prompt. Under ``twin`` (the same model
without the memory, :attr:`memcirc.models.Model.twin`) both runs read the clean prompt, and the model runs where the
table says clean, its twin where it says corrupt. Identity: edge mode of C is tree mode of its complement in the other
direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memcirc.config import check_switch

MODES = ("tree", "edge")
DANGLING = ("keep", "prune")


@dataclass(frozen=True)
class Ablation:
    """What an ablated edge carries in place of its source's output.

    Attributes:
        other_prompt: the source's activation in the pair's other prompt.
        other_model: the source's activation in the other of a model and its twin, on the same prompt.
        means_of: the prompts, ``clean`` or ``corrupt``, of reference pairs whose activations are averaged.
        by_position: whether such a mean is taken at each position, or one over all. Without any of these: nothing.
        learned: whether such a mean is where constants start that are learned (:mod:`memcirc.engine.optimal`).
        verified: whether verification runs it unless told otherwise.
    """

    name: str
    other_prompt: bool = False
    other_model: bool = False
    means_of: tuple[str, ...] = ()
    by_position: bool = True
    learned: bool = False
    verified: bool = False

    @classmethod
    def parse(cls, name: str) -> "Ablation":
        """The ablation of a name; ValueError for one that there is not."""
        if name not in ABLATIONS:
            raise ValueError(f"ablation {name!r} is not known; accepted: {', '.join(ABLATIONS)}")
        return ABLATIONS[name]

    @property
    def has_other_run(self) -> bool:
        """Whether the values are those of another run, so that base and source may exchange their roles."""
        return self.other_prompt or self.other_model

    @property
    def needs_contrast(self) -> bool:
        """Whether pairs whose prompts are the same have nothing to ablate."""
        return self.other_prompt

    @property
    def keeps_prefix(self) -> bool:
        """Whether every run is the plain run as far as clean and corrupt agree, whatever is ablated."""
        return self.other_prompt

    @property
    def rests(self) -> bool:
        """Whether a node all of whose inputs are ablated outputs just what its own ablated edges carry, so that it need
        not be computed."""
        return self.other_prompt


ABLATIONS = {
    ablation.name: ablation
    for ablation in (
        Ablation("resample", other_prompt=True, verified=True),
        Ablation("zero", verified=True),
        Ablation("mean-clean", means_of=("clean",), verified=True),
        Ablation("mean-corrupt", means_of=("corrupt",), verified=True),
        Ablation("mean-both", means_of=("clean", "corrupt")),
        Ablation("mean-all", means_of=("clean", "corrupt"), by_position=False),
        Ablation("optimal", means_of=("clean", "corrupt"), by_position=False, learned=True),
        Ablation("twin", other_model=True),
    )
}


def principal(ablations: Sequence[str]) -> str:
    """Of several ablations the one that is asked where a single one is: resample, or the first."""
    return "resample" if "resample" in ablations or not ablations else ablations[0]


VERIFIED = tuple(name for name, ablation in ABLATIONS.items() if ablation.verified)


@dataclass(frozen=True)
class RunSettings:
    """Mode, ablation, direction, and what a node without kept inputs outputs.

    ``dangling="keep"``: what it computes from ablated inputs (AutoCircuit); ``"prune"``: its ablation value (EAP-IG).
    Under resample both are the same.

    Raises:
        ValueError: an unknown word, a ``reverse`` that is neither True nor False, or ``prune`` in edge mode.
    """

    mode: str
    ablation: str = "resample"
    reverse: bool = False
    dangling: str = "keep"

    def __post_init__(self) -> None:
        for name, accepted in (("mode", MODES), ("ablation", tuple(ABLATIONS)), ("dangling", DANGLING)):
            value = getattr(self, name)
            if value not in accepted:
                raise ValueError(f"{name} {value!r} is not known; accepted: {', '.join(accepted)}")
        check_switch("reverse", self.reverse)
        if self.mode == "edge" and self.dangling == "prune":
            raise ValueError(
                "dangling 'prune' keeps a circuit's connected part, which mode 'edge' does not run; use 'keep'"
            )

    @property
    def ablated(self) -> Ablation:
        """The ablation, parsed."""
        return ABLATIONS[self.ablation]

    @property
    def base(self) -> str:
        """The run that is patched, ``clean`` or ``corrupt``; the other one gives the values under resample."""
        return "clean" if (self.mode == "tree") != self.reverse else "corrupt"

    @property
    def prompt(self) -> str:
        """The prompt that the base run reads."""
        return "clean" if self.ablated.other_model else self.base

    @property
    def role(self) -> str:
        """What the smallest circuit that is found in this way is to what was learned, against a twin: sufficient or
        necessary; empty for another ablation or direction."""
        if not self.ablated.other_model or self.base != "clean":
            return ""
        return "sufficient" if self.mode == "tree" else "necessary"

    @property
    def direction(self) -> str:
        """Does patching take the clean behaviour away (base clean) or bring it back (base corrupt)?"""
        return "noising" if self.base == "clean" else "denoising"

    @property
    def verb(self) -> str:
        """What a circuit that is run in this way does with the share of the behaviour that its faithfulness states."""
        if self.mode == "tree":
            return "keeps"
        return "brings back" if self.base == "corrupt" and self.ablated.has_other_run else "takes away"

    @property
    def caveat(self) -> str:
        """What a reader must be told about this combination; empty where the name says it all."""
        if self.base == "corrupt" and self.mode == "edge" and not self.ablated.has_other_run:
            return "ablates the circuit on the corrupt run"
        return ""


@dataclass(frozen=True)
class Way(RunSettings):
    """How a number about a circuit was measured: the settings of the run, and the metric that was read."""

    metric: str = "logit_diff"
