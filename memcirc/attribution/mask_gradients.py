"""The methods that read the gradients of uniform masks, dL/dm with all masks at alpha (0 = clean, 1 = ablated):

- ``eap``: at alpha = 0 (edge attribution patching, Syed et al. 2023);
- ``mask-ig``: summed over alpha = i/k, i = 0..k, both ends included, not divided (AutoCircuit's mask gradient with
  integrated-gradient samples, which the memorization study uses);
- ``clean-corrupted``: the mean of those at alpha = 0 and 1.
"""

from collections.abc import Sequence

from torch import Tensor

from memcirc.attribution.method import Method, check_slope
from memcirc.engine.request import Request
from memcirc.engines import engine_module


def _summed(request: Request, alphas: Sequence[float]) -> Tensor:
    """The engine's mask gradients, summed over alphas."""
    return engine_module(request.engine).mask_gradients(request, alphas)


def _at_clean(request: Request) -> Tensor:
    """The gradients of the clean run."""
    check_slope("eap", request.objective)
    return _summed(request, [0.0])


EAP = Method(_at_clean)
MASK_IG = Method(lambda request: _summed(request, [i / request.steps for i in range(request.steps + 1)]))
CLEAN_CORRUPTED = Method(lambda request: _summed(request, [0.0, 1.0]) / 2)
