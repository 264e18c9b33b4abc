"""A model written as a GGUF file, the way llama.cpp does it."""

import json
from pathlib import Path

import gguf
from transformers import PreTrainedModel, PreTrainedTokenizerFast

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(hf: PreTrainedModel, path: Path, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
    """The weights as llama.cpp lays them out (queries and keys with each head's halves interleaved) and, if given, a
    byte-level BPE tokenizer."""
    config, writer = hf.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    outer = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, weight in hf.state_dict().items():
        name = name.removesuffix(".weight")
        array = weight.numpy()
        if name not in outer:
            _, _, layer, part = name.split(".", 3)
            for which, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
                if part.endswith(which):
                    array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
            outer[name] = f"blk.{layer}.{NAMES[part]}"
        writer.add_tensor(f"{outer[name]}.weight", array.copy())
    if tokenizer is not None:
        learned = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(sorted(learned["vocab"], key=learned["vocab"].__getitem__))
        writer.add_token_merges([" ".join(pair) for pair in learned["merges"]])
        writer.add_bos_token_id(tokenizer.bos_token_id)
        writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
