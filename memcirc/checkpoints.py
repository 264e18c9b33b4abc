"""What lies in a folder of weights, before and after transformers reads it: files that are whole, and weights that are
the model's own, all of them, each a number.

transformers draws a weight that it does not find at random, passes over one that it does not know, and sets an adapter
aside; all of these measure another model without a word, so all of them are refused here.
"""

import codecs
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from memcirc.artifacts import read_json
from memcirc.config import in_one_line

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
ADAPTER_CONFIG = "adapter_config.json"
ADAPTERS = ("adapter*.safetensors", "adapter*.bin")
GGUF_MAGIC = b"GGUF"
GGUF_STRING, GGUF_ARRAY, GGUF_ALIGNMENT, GGUF_VERSIONS = 8, 9, 32, (2, 3)
GGUF_NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIifBQqd", strict=True))
CONFIGS = ("config.json", "generation_config.json")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "tekken.json")
TOKENIZER_CONFIGS = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
FORMER_BUFFERS = re.compile(r"\.(attn|attention)\.(masked_)?bias$|\.rotary_emb\.inv_freq$")
NAMED = 4


def check_folder(folder: Path) -> None:
    """See that a local folder holds a whole model, of which transformers reads every file.

    Raises:
        FileNotFoundError: no configuration, no weights, or a part of them missing.
        ValueError: an adapter; a file that is cut off, no JSON, a Git LFS pointer or not a plain state dict.
    """
    adapter = next((path for pattern in ADAPTERS for path in sorted(folder.glob(pattern))), None)
    if adapter is not None:
        raise ValueError(f"{adapter}: an adapter without its {ADAPTER_CONFIG}; the folder of one has both")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"model folder {str(folder)!r} has no config.json")
    for name in CONFIGS:
        if (folder / name).is_file():
            read_settings(folder / name)
    for path in weight_files(folder):
        check_whole(path)


def check_adapter(folder: Path) -> None:
    """See that a folder holds a PEFT adapter and nothing else that could be meant.

    Raises:
        FileNotFoundError: no weights of an adapter.
        ValueError: a model beside the adapter; a file that is cut off, no JSON or no state dict.
    """
    beside = [name for pair in WEIGHTS for name in pair if (folder / name).is_file()]
    if beside:
        raise ValueError(f"{folder / ADAPTER_CONFIG}: an adapter beside {beside[0]}; which of the two is meant?")
    read_settings(folder / ADAPTER_CONFIG)
    files = [path for pattern in ADAPTERS for path in sorted(folder.glob(pattern))]
    if not files:
        raise FileNotFoundError(f"adapter folder {str(folder)!r} has no weights (adapter_model.safetensors)")
    for path in files:
        check_whole(path)


def gguf_of(path: Path) -> Path | None:
    """The GGUF file that is meant by a path: itself, or the only one of a folder that holds no other weights."""
    if path.suffix == ".gguf":
        return path
    if not path.is_dir() or any((path / name).is_file() for pair in WEIGHTS for name in pair):
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise ValueError(f"folder {str(path)!r} holds {listed(each.name for each in found)}; name one of them")
    return found[0] if found else None


def check_whole_gguf(path: Path) -> None:
    """Raises FileNotFoundError or ValueError for a GGUF file that is not there, is none, or is cut off."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    refuse_pointer(path)
    with path.open("rb") as file:
        if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise ValueError(f"{path}: not a GGUF file")
        length = path.stat().st_size
        try:
            size = _gguf_size(file, length)
        except EOFError:
            raise ValueError(f"{path}: cut off after {length:,} bytes, within its header") from None
    if length < size:
        raise ValueError(f"{path}: cut off after {length:,} bytes of {size:,}")


def _gguf_size(file: BinaryIO, length: int) -> int:
    """Bytes that a GGUF file has by its own header, behind whose first word ``file`` stands: up to the end of the
    tensor that lies last; 0 of a header that says what is not known here, which transformers is left to refuse. The
    format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

    Args:
        length: of the file.

    Raises:
        EOFError: the header ends early.
    """
    from gguf import GGML_QUANT_SIZES

    def take(count: int) -> bytes:
        if count > length - file.tell():
            raise EOFError
        return file.read(count)

    def number(kind: str) -> Any:
        return struct.unpack(f"<{kind}", take(struct.calcsize(f"<{kind}")))[0]

    def value(kind: int) -> Any:
        if kind == GGUF_STRING:
            return take(number("Q"))
        if kind != GGUF_ARRAY:
            return number(GGUF_NUMBERS[kind])
        item, count = number("I"), number("Q")
        if item in GGUF_NUMBERS:
            return take(count * struct.calcsize(GGUF_NUMBERS[item]))
        return [value(item) for _ in range(count)]

    if number("I") not in GGUF_VERSIONS:
        return 0
    n_tensors, n_facts = number("Q"), number("Q")
    try:
        facts = {value(GGUF_STRING): value(number("I")) for _ in range(n_facts)}
        ends = [0]
        for _ in range(n_tensors):
            value(GGUF_STRING)
            numbers = prod(number("Q") for _ in range(number("I")))
            block, block_bytes = GGML_QUANT_SIZES[number("I")]
            ends.append(number("Q") + numbers // block * block_bytes)
    except KeyError:
        return 0
    alignment = facts.get(b"general.alignment", GGUF_ALIGNMENT)
    return int(-(-file.tell() // alignment) * alignment + max(ends))


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads a folder's weights from.

    Raises:
        FileNotFoundError: there are none, or an index names one that is not there.
        ValueError: the index is broken.
    """
    for single, index in WEIGHTS:
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            parts = read_object(folder / index).get("weight_map")
            if not isinstance(parts, dict) or not parts:
                raise ValueError(f"{folder / index}: no 'weight_map' in it; an index of weights has one")
            files = [folder / str(name) for name in sorted({str(name) for name in parts.values()})]
            outside = [str(name) for name in parts.values() if Path(str(name)).name != str(name)]
            if outside:
                raise ValueError(f"{folder / index} names {listed(set(outside))}, which is not in its folder")
            missing = [path.name for path in files if not path.is_file()]
            if missing:
                raise FileNotFoundError(f"{folder / index} names {listed(missing)}, missing from the folder")
            return files
    found = sorted(path.name for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    raise FileNotFoundError(
        f"model folder {str(folder)!r} has no weights (model.safetensors or pytorch_model.bin, or an index of parts)"
        + (f"; {listed(found)} go by other names" if found else "")
    )


def check_whole(path: Path) -> None:
    """Raises ValueError, naming the file, for weights that cannot be read: cut off, an LFS pointer, no state dict, too
    large for the address space."""
    refuse_pointer(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="np"):  # which, unlike "pt", maps nothing that counts as memory
                return
        mapped = zipfile.is_zipfile(path)
        content = torch.load(path, map_location="meta", weights_only=True, mmap=mapped)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError, IndexError) as error:
        raise ValueError(f"{path}: not a whole file of weights ({in_one_line(error)})") from None
    except MemoryError:
        raise ValueError(
            f"{path}: no address space is left for its {path.stat().st_size:,} bytes; `ulimit -v` tells the limit"
        ) from None
    except Exception:  # pickle raises what the bytes make it raise
        raise ValueError(f"{path}: not a file of weights alone") from None
    odd = next((k for k, v in content.items() if not isinstance(v, Tensor)), None) if isinstance(content, dict) else ""
    if odd is not None:
        raise ValueError(
            f"{path}: not a plain state dict of names and tensors" + (f" ({odd!r} is none)" if odd else "")
        )


def check_fit(name: str, info: Mapping[str, Any]) -> None:
    """Compare what the files held with what the model has.

    Args:
        info: the ``output_loading_info`` of transformers; a tied unembedding is not missing there.

    Raises:
        ValueError: weights that are missing, unexpected or of another shape, by name.
    """
    unexpected = [key for key in info["unexpected_keys"] if not FORMER_BUFFERS.search(key)]
    shapes = [f"{key} {list(ours)} for {list(needed)}" for key, ours, needed in info["mismatched_keys"]]
    wrong = {"missing": info["missing_keys"], "unexpected": unexpected, "of another shape": shapes}
    if any(wrong.values()):
        told = "; ".join(f"{what}: {listed(keys)}" for what, keys in wrong.items() if keys)
        raise ValueError(f"model {name!r}: the weights do not fit its config.json; {told}")


def check_finite(name: str, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Raises ValueError, naming the first weight that holds NaN or an infinity."""
    for key, weight in weights:
        if weight.is_floating_point() and weight.numel():
            low, high = torch.aminmax(weight.detach())
            if not (torch.isfinite(low) and torch.isfinite(high)):
                dtype = str(weight.dtype).removeprefix("torch.")
                raise ValueError(f"model {name!r}: NaN or infinite values in the weight {key} (as {dtype})")


def vocabulary_files(folder: Path) -> list[Path]:
    """The files of a folder that hold a tokenizer's vocabulary; none where it has no tokenizer."""
    return [path for pattern in VOCABULARIES for path in sorted(folder.glob(pattern))]


def check_tokenizer_files(folder: Path) -> None:
    """Raises ValueError for a tokenizer's file that is an LFS pointer or, of those in JSON, cut off; names it."""
    for path in [*vocabulary_files(folder), *(folder / name for name in TOKENIZER_CONFIGS)]:
        if path.is_file():
            refuse_pointer(path)
            if path.suffix == ".json":
                read_settings(path)


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder; ValueError also names one behind a byte-order mark, which transformers does not
    read."""
    content = read_object(path)
    if path.read_bytes().startswith(codecs.BOM_UTF8):
        raise ValueError(f"{path}: begins with a byte-order mark, which transformers does not read; save it without")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; ValueError names a file that is none, or a Git LFS pointer."""
    refuse_pointer(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object is needed, not a {type(content).__name__}")
    return content


def refuse_pointer(path: Path) -> None:
    """Raises ValueError for a Git LFS pointer in place of a file."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ValueError(f"{path}: a Git LFS pointer, not the file itself; `git lfs pull` fetches it")


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return ", ".join(ordered[:NAMED]) + more
