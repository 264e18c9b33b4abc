"""Text of prompts and answers as token ids, in one place.

An answer's ids are those that prompt and answer together have beyond the prompt's own: a word is often one token behind
a text and two alone (SentencePiece), and a token that joins the prompt's end with the answer is no answer behind it.
"""

from typing import Any

from memcirc.config import broken_text


def prompt_ids(tokenizer: Any, text: str, bos: bool | None = None) -> tuple[int, ...]:
    """Ids of a prompt, behind BOS if asked; ``bos`` None: where the tokenizer has one.

    Raises:
        ValueError: BOS is asked of a tokenizer without one; text that is not whole.
    """
    start = tokenizer.bos_token_id
    if bos and start is None:
        raise ValueError("BOS is asked for, and this tokenizer has no BOS token")
    return _ids(tokenizer, text) if start is None or bos is False else (start, *_ids(tokenizer, text))


def answer_ids(tokenizer: Any, prompt: str, answer: str) -> tuple[int, ...]:
    """Ids of an answer as it stands behind a prompt.

    Raises:
        ValueError: an empty answer, or one with which the prompt's own last tokens become others.
    """
    own, whole = _ids(tokenizer, prompt), _ids(tokenizer, prompt + answer)
    if whole[: len(own)] != own:
        raise ValueError(
            f"answer {answer!r} changes the tokens of the prompt it follows, which ends in {prompt[-20:]!r}; put a "
            "space that belongs to the answer there, or give token ids"
        )
    if len(whole) == len(own):
        raise ValueError(f"answer {answer!r} is no token behind its prompt")
    return whole[len(own) :]


def answer_id(tokenizer: Any, prompt: str, answer: str) -> int:
    """The id of an answer of one token behind a prompt; raises as :func:`answer_ids`, and for an answer of several."""
    ids = answer_ids(tokenizer, prompt, answer)
    if len(ids) != 1:
        raise ValueError(f"answer {answer!r} is {len(ids)} tokens; one is needed (a leading space often matters)")
    return ids[0]


def is_one_token(tokenizer: Any, prompt: str, word: str) -> bool:
    """Whether a word is one token behind a prompt and leaves the prompt's own as they are."""
    own, whole = _ids(tokenizer, prompt), _ids(tokenizer, prompt + word)
    return whole[:-1] == own


def check_text(text: str) -> None:
    """Raises ValueError for text that no file takes."""
    if problem := broken_text(text):
        raise ValueError(f"text {problem}")


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    check_text(text)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
