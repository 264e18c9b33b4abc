"""Attribution of a model of a billion parameters and more: ``eap`` on random pairs, from weights written as sharded
safetensors in bfloat16. No peer does the larger one on such a machine, so there is a limit of memory and no ratio.

python -m benchmarks.large --folder DIR [--shape llama-1b] [--grouped]

DIR needs room for the weights (2.5 GB; ``llama-8b``: 16 GB), which are left there. Not a part of ``make bench``.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig

from benchmarks.cases import SHAPES, random_pairs
from benchmarks.timing import write_result
from memcirc.attribution.attribute import attribute
from memcirc.models import load_model

LIMITS = {"llama-1b": (8, 32, 5.0), "llama-8b": (1, 16, 22.0)}
"""Of each shape the pairs, their tokens, and the memory in GB that is allowed."""


def shards(config: LlamaConfig) -> Iterator[dict[str, Tensor]]:
    """The weights, a file a layer."""
    generator = torch.Generator().manual_seed(0)
    width, inner, columns = config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim
    kv = config.num_key_value_heads * config.head_dim

    def drawn(*size: int) -> Tensor:
        return (torch.randn(*size, generator=generator) * 0.02).bfloat16()

    shapes = {
        "self_attn.q_proj": (columns, width), "self_attn.k_proj": (kv, width), "self_attn.v_proj": (kv, width),
        "self_attn.o_proj": (width, columns), "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }  # fmt: skip
    ones = torch.ones(width).bfloat16()
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        norms = {f"{prefix}{name}.weight": ones.clone() for name in ("input_layernorm", "post_attention_layernorm")}
        yield {**{f"{prefix}{name}.weight": drawn(*size) for name, size in shapes.items()}, **norms}
    tables = {f"{name}.weight": drawn(config.vocab_size, width) for name in ("model.embed_tokens", "lm_head")}
    yield {**tables, "model.norm.weight": ones}


def write(config: LlamaConfig, folder: Path) -> None:
    """Random weights as transformers lays them out."""
    config.architectures, config.dtype = ["LlamaForCausalLM"], torch.bfloat16
    config.save_pretrained(folder)
    where: dict[str, str] = {}
    for number, shard in enumerate(shards(config), start=1):
        name = f"model-{number:05d}-of-{config.num_hidden_layers + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, name)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def status(name: str) -> float:
    """A line of this process' status in GB, ``VmHWM`` say."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=LIMITS, default="llama-1b")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--grouped", action="store_true", help="one key and value input for each group")
    options = parser.parse_args()
    n_pairs, length, limit = LIMITS[options.shape]
    if not (options.folder / "model.safetensors.index.json").is_file():
        options.folder.mkdir(parents=True, exist_ok=True)
        write(SHAPES[options.shape], options.folder)
    before, start = status("VmRSS"), time.perf_counter()
    model = load_model(options.folder, device="cpu", dtype="auto", grouped_kv=options.grouped)
    loaded = time.perf_counter()
    scores = attribute(model, random_pairs(n_pairs, length, False, model.d_vocab), "eap")
    facts = {
        "shape": options.shape, "grouped": options.grouped, "pairs": n_pairs, "tokens": length,
        "edges": len(scores.values), "load seconds": loaded - start, "eap seconds": time.perf_counter() - loaded,
        "peak GB": status("VmHWM"), "of it not the weights' files GB": status("RssAnon"),
        "before loading GB": before, "limit GB": limit,
    }  # fmt: skip
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    write_result(options.shape, f"Attribution of {options.shape}", [], **facts)


if __name__ == "__main__":
    main()
