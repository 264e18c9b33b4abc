"""The first ids of a text are those of its whole, from little of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from memcirc.corpus import tokenizing
from memcirc.corpus.tokenizing import first_ids, ids_of

END = "<|endoftext|>"
CORPUS = [
    "the cat sat on the mat and the dog sat on the log  while 123456 birds sang 7890 songs",
    "def f(x):\n    return x  # caf\u00e9 na\u00efve\n\n\n        while True:\n            pass",
    "aaaa abab baba aaaaaaa bababa  aab   abb    aaab",
] * 20
PIECES = [
    " ", "  ", "\n", "\t", "the cat ", "on the mat", "a", "ab", "ba", "1", "12345", "7890 ", "e\u0301", "\u0301",
    "\u00e9", "\U0001f600", "\u4e2d\u6587", END, END[:7], "return x", "    ", "\u3000", "\r\n", "'s", "...", "zq",
]  # fmt: skip


def byte_level(pattern: str | None = None) -> Tokenizer:
    made = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    made.pre_tokenizer = pre_tokenizers.Sequence([*split, level])
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    return made


def sentence_piece(model: str) -> Tokenizer:
    """As Llama's: no pre-tokenizer, so that pieces may span words; or Unigram with Metaspace, as T5's."""
    if model == "bpe":
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"]))
        made.decoder = decoders.Replace("\u2581", " ")
        return made
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>")
    )
    return made


MADE = {
    "gpt2": byte_level,
    "digits from their end": lambda: byte_level(r"\d{1,3}(?=(\d{3})*\b)|\s+(?!\S)|\s?\w+|[^\s\w]+|\s+"),
    "llama": lambda: sentence_piece("bpe"),
    "t5": lambda: sentence_piece("unigram"),
}


@pytest.fixture(scope="module", params=MADE)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=MADE[request.param](), eos_token=END)


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        st.tuples(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.integers(1, 3000)), max_size=8
    ),
    n=st.integers(1, 200),
)
def test_the_first_ids_are_those_of_the_whole_text(
    tokenizer: PreTrainedTokenizerFast, runs: list[tuple[list[str], int]], n: int
) -> None:
    text = "".join("".join(pieces) * count for pieces, count in runs)[:100_000]
    (whole,) = ids_of(tokenizer, [text])
    assert first_ids(tokenizer, [text, "ab", ""], n) == [whole[:n], *(ids[:n] for ids in ids_of(tokenizer, ["ab", ""]))]


@pytest.mark.parametrize("text", ["1" * 20_000, " " * 20_000, "1" * 19_999 + " end", " " * 30_001 + "word " * 4000])
def test_a_run_that_crosses_the_cut_is_read_to_its_end(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert first_ids(tokenizer, [text], 12) == [ids_of(tokenizer, [text])[0][:12]]


def test_little_of_a_long_text_is_tokenized(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = tokenizing.ids_of

    def counted(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
        read.extend(map(len, texts))
        return plain(tokenizer, texts)

    monkeypatch.setattr(tokenizing, "ids_of", counted)
    (ids,) = first_ids(tokenizer, ["the cat sat on the mat. " * 100_000], 12)
    assert len(ids) == 12
    assert sum(read) < 20_000
