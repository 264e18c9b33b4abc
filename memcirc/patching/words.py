"""A tokenizer of whole words, for the small models that studies train on the spot."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BOS = "<bos>"
UNKNOWN = "<unknown>"


def word_tokenizer(texts: Iterable[str], pieces: str) -> PreTrainedTokenizerFast:
    """A token a piece of text.

    Args:
        texts: every piece in them gets a token, in order of first use.
        pieces: regular expression of a piece; what lies between is a piece too.
    """
    splitter = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    vocabulary = {BOS: 0, UNKNOWN: 1}
    for text in texts:
        for piece, _ in splitter.pre_tokenize_str(text):
            vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, unk_token=UNKNOWN)
    fast.clean_up_tokenization_spaces = False
    return fast
