"""A few documents of two subsets, and a tokenizer of one token a word."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = [f"w{number}" for number in range(60)]
TEXTS = [
    " ".join(WORDS[0:12]),
    " ".join(WORDS[20:35]),
    " ".join(WORDS[0:12]),
    "w1 w2",
    " ".join(WORDS[0:10] + WORDS[50:60]),
]
SUBSETS = ["Github", "FreeLaw", "Github", "Github", "FreeLaw"]


@pytest.fixture(scope="session")
def tokenizer():
    vocabulary = {word: number for number, word in enumerate(["<bos>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<bos>", unk_token="<unk>")


@pytest.fixture
def rows():
    """In the Pile's shape."""
    return [{"text": text, "meta": {"pile_set_name": subset}} for text, subset in zip(TEXTS, SUBSETS, strict=True)]
