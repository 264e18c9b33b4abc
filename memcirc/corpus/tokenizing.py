"""The first token ids of long texts, from no more of the text than they need.

Where a text is cut changes the tokens at the cut, and by merges, pre-tokenizers that look ahead, and normalizers some
before it. So the ids of a prefix count as those of the whole text when

1. a prefix twice as long begins with the same ids, and
2. its second half holds `MARGIN_WORDS` words or more: what reaches across a run of characters (digits that are grouped
   from their end, spaces of which the last belongs to a word) ends within.

Else the prefix grows, in the end to the whole text.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

FIRST_CHARACTERS = 4096
CHARACTERS_A_TOKEN = 16
MARGIN_WORDS = 32


def ids_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The ids of whole texts, without special tokens of the tokenizer's own."""
    if not texts:
        return []
    return tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]


def first_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], n: int) -> list[list[int]]:
    """The first `n` ids of each text, or all where there are fewer."""
    found: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    size = max(FIRST_CHARACTERS, CHARACTERS_A_TOKEN * n)
    while len(found) < len(texts):
        rest = [index for index in range(len(texts)) if index not in found]
        prefixes = [texts[index] if len(texts[index]) <= 2 * size else texts[index][:size] for index in rest]
        for index, prefix, ids in zip(rest, prefixes, ids_of(tokenizer, prefixes), strict=True):
            first = ids[:n]
            agreed = len(first) == n and first == before.get(index)
            if len(prefix) == len(texts[index]) or (agreed and len(prefix[size // 2 :].split()) >= MARGIN_WORDS):
                found[index] = first
            before[index] = first
        size *= 2
    return [found[index] for index in range(len(texts))]
