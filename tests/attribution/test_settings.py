"""Attribution's settings: what they are unless told otherwise, what a result states of them, what is refused."""

import pytest

from memcirc.attribution.methods import METHODS, method_named
from memcirc.attribution.settings import AttributionSettings
from memcirc.circuits.config import DiscoverConfig
from memcirc.interventions import ABLATIONS


def test_settings_not_given_are_those_of_the_stage() -> None:
    own, stage = vars(AttributionSettings()), vars(DiscoverConfig())
    assert own.pop("batch_size") is None
    assert own == {name: stage[name] for name in own}


def test_a_result_states_all_but_the_batch_size() -> None:
    stated = AttributionSettings("eap", batch_size=3, seed=7).statement()
    assert stated == {"method": "eap", "steps": 5, "grid": "0..m-1", "objective": "logit_diff",
                      "ablation": "resample", "engine": "native", "seed": 7, "updates": 300, "rate": 0.1}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"method": "other"}, "method 'other' is not known"), ({"grid": "1"}, "grid '1' is not known; accepted: 0"),
        ({"engine": "other"}, "engine 'other' is not known; accepted: native"),
        ({"ablation": "other"}, "ablation 'other' is not known"), ({"steps": 0}, "steps is 0; at least 1 is needed"),
        ({"objective": "correct"}, "metric 'correct' is not known"),
    ],
)  # fmt: skip
def test_unknown_words_and_too_few_steps_are_refused(told: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttributionSettings(**told)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_taken_with_the_engines_and_ablations_it_is_defined_for(name: str) -> None:
    method = method_named(name)
    for engine in ("native", "auto-circuit"):
        if method.engines is None or engine in method.engines:
            AttributionSettings(name, engine=engine)
        else:
            with pytest.raises(ValueError, match=f"method '{name}' is computed by engine .* alone, not by '{engine}'"):
                AttributionSettings(name, engine=engine)
    for ablation in ABLATIONS.values():
        if method.defined_for(ablation):
            AttributionSettings(name, ablation=ablation.name)
        else:
            with pytest.raises(ValueError, match=f"'{name}' is not defined for ablation '{ablation.name}'"):
                AttributionSettings(name, ablation=ablation.name)
