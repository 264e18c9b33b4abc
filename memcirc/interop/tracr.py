"""Transformers compiled from programs, whose circuits are known: the two Tracr programs that AutoCircuit's package
compiles offline (Lindner et al. 2023; circuits as in Conmy et al. 2023 and Miller et al. 2024).

``reverse`` says a sequence of 5 tokens of 3 kinds backwards (243 sequences), ``xproportion`` the share of x so far in
one of 4 kinds (1,024). Every sequence stands behind BOS once as the clean prompt, a random other one as the corrupt
prompt, and the answer is read at every position but the first: a pair a position. Both models see in both directions.

JAX and Tracr are imported here, when a program is compiled.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from memcirc.circuit import Circuit
from memcirc.interop.auto_circuit import patchable
from memcirc.interop.compatibility import provide_moved_names
from memcirc.interop.names import from_auto_circuit
from memcirc.models import Model, load_model
from memcirc.pairs.record import Pair, Pairs

PROGRAMS = ("reverse", "xproportion")
LENGTH = 5


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled program: its model, its pairs, and the edges that it runs through under resample (``circuit``) and
    under zero ablation (``zero_circuit``), component by component."""

    name: str
    model: Model
    pairs: Pairs
    circuit: Circuit
    zero_circuit: Circuit


def compile_program(name: str, seed: int = 0) -> Program:
    """Compile one of ``PROGRAMS``.

    Args:
        seed: of the corrupt sequences.

    Raises:
        ValueError: no such program, or the package that compiles it is not installed.
    """
    if name not in PROGRAMS:
        raise ValueError(f"program {name!r} is not known; accepted: {', '.join(PROGRAMS)}")
    provide_moved_names()
    try:
        from auto_circuit.model_utils.tracr_model_utils import get_tracr_model
    except ImportError as error:
        raise ValueError(f"Tracr cannot be imported ({error}); it comes with auto-circuit[tracr]") from None
    hooked, compiled = get_tracr_model(name, "cpu")  # type: ignore[arg-type]
    model = load_model(hooked.eval(), device="cpu", dtype="float64")
    return Program(name, model, _pairs(name, compiled.input_encoder.encoding_map, seed), *_circuits(name, model))


def _pairs(name: str, code: dict[object, int], seed: int) -> Pairs:
    kinds = sorted((kind for kind in code if kind not in ("BOS", "compiler_pad")), key=str)
    sequences = list(itertools.product(kinds, repeat=LENGTH))
    generator = np.random.default_rng(seed)
    items = []
    for index, clean in enumerate(sequences):
        other = int(generator.integers(len(sequences) - 1))
        corrupt = sequences[other + (other >= index)]
        for position in range(1, LENGTH + 1):
            answers = [_answer(name, sequence, position, code) for sequence in (clean, corrupt)]
            if name == "reverse" and answers[0] == answers[1]:
                continue
            ids = [(code["BOS"], *(code[kind] for kind in sequence)) for sequence in (clean, corrupt)]
            items.append(
                Pair(ids[0], ids[1], (answers[0],), (answers[1],), doc_id=f"sequence-{index}", position=position)
            )
    return Pairs(tuple(items), {"bos": True, "split": "all sequences", "mode": name})


def _answer(name: str, sequence: tuple[object, ...], position: int, code: dict[object, int]) -> int:
    """The output's index: a token for ``reverse``; ``xproportion`` has one output, a number."""
    return code[sequence[LENGTH - position]] if name == "reverse" else 0


def _circuits(name: str, model: Model) -> tuple[Circuit, Circuit]:
    from auto_circuit.metrics.official_circuits.circuits.tracr import reverse_official, xproportion_official

    known = {
        "reverse": (reverse_official.tracr_reverse_true_edges, reverse_official.tracr_reverse_acdc_edges),
        "xproportion": (
            xproportion_official.tracr_xproportion_official_edges,
            xproportion_official.tracr_xproportion_acdc_edges,
        ),
    }
    peer = patchable(model)
    found = [Circuit.from_edges(from_auto_circuit(edge.name) for edge in of(peer)) for of in known[name]]
    return found[0], found[1]


def outputs(program: Program) -> torch.Tensor:
    """float [pairs, outputs]: what the compiled model says at each pair's position, on the clean prompts."""
    ids = torch.tensor([pair.clean_ids for pair in program.pairs])
    with torch.no_grad():
        logits = program.model.logits(ids)
    return logits[torch.arange(len(ids)), [pair.read_at for pair in program.pairs]]
