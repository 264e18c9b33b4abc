"""Read a file of pairs: ours, or AutoCircuit's, in text or in ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcirc.checkpoints import read_object
from memcirc.pairs.fields import checked, checked_text
from memcirc.pairs.record import FIELDS, Pair, Pairs
from memcirc.pairs.tokenizing import answer_id, prompt_ids
from memcirc.schema import check_schema

SHAPE = '{"prompts": [{"clean": "A b", "corrupt": "A c", "answers": [" d"], "wrong_answers": [" e"]}, ...]}'
_IDS_OF = {"clean": "clean_ids", "corrupt": "corrupt_ids", "answers": "answer_ids", "wrong_answers": "wrong_answer_ids"}
_ALTERNATIVES = ("answer_ids", "wrong_answer_ids", "answers", "wrong_answers")
_PROMPT_OF = {"answers": "clean", "wrong_answers": "corrupt"}


def load_pairs(path_or_dict: str | Path | Mapping[str, Any], model: Any = None, bos: bool = False) -> Pairs:
    """Read a file of pairs, ours or AutoCircuit's, in text or in ids.

    Args:
        path_or_dict: JSON file, or its content.
        model: a loaded model; needed for pairs that hold text alone, which is tokenized here, once: an answer behind
            the clean prompt, a wrong answer behind the corrupt one.
        bos: put the tokenizer's BOS token before text that is tokenized here (recorded in the header).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of pairs, or a newer memcirc's; no pair in it; text without a tokenizer, BOS without one;
            and, with the pair's number, a field of another type, unequal prompts, an answer of several tokens.
    """
    if not isinstance(path_or_dict, str | Path | Mapping):
        raise ValueError(f"a file of pairs or its content is needed, not a {type(path_or_dict).__name__}")
    content = path_or_dict if isinstance(path_or_dict, Mapping) else _read(Path(path_or_dict))
    name = "pairs" if isinstance(path_or_dict, Mapping) else str(path_or_dict)
    check_schema(content, name)
    prompts, header = content.get("prompts"), content.get("memcirc", {})
    if not isinstance(prompts, list):
        raise ValueError(f"{name}: no list 'prompts' in it; a file of pairs is {SHAPE}")
    if not prompts:
        raise ValueError(f"{name}: the pair set is empty; at least one pair is needed")
    dropped = header.get("dropped", {}) if isinstance(header, Mapping) else None
    if not isinstance(dropped, Mapping):
        raise ValueError(f"{name}: 'memcirc' is an object with, if any, an object 'dropped' in it")
    header = {key: value for key, value in header.items() if key != "dropped"}
    if any("clean_ids" not in p and isinstance(p.get("clean"), str) for p in prompts if isinstance(p, Mapping)):
        header["bos"] = bos
    return Pairs(tuple(_pair(prompt, i, model, bos) for i, prompt in enumerate(prompts)), header, dropped)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file of pairs at {path}")
    return read_object(path)


def _pair(prompt: Any, index: int, model: Any, bos: bool) -> Pair:
    try:
        if not isinstance(prompt, Mapping):
            raise ValueError(f"an object is needed, not {prompt!r:.60}")
        return Pair(**_in_ids({k: v for k, v in prompt.items() if k in FIELDS and v is not None}, model, bos))
    except ValueError as error:
        raise ValueError(f"pair {index}: {error}") from None


def _in_ids(given: dict[str, Any], model: Any, bos: bool) -> dict[str, Any]:
    """The fields of a pair with all its ids, be they in their own fields, in those of the text (as AutoCircuit has
    them), or tokenized here. An answer that stands alone is the only alternative."""
    known = {name: _only_one(name, value) for name, value in given.items()}
    for text, ids in _IDS_OF.items():
        if text not in known and ids not in known:
            raise ValueError(f"no {text!r}; a pair has ids, or {', '.join(_IDS_OF)}")
        if ids not in known and not _holds_text(known[text]):
            known[ids] = known.pop(text)
    lacking = [text for text, ids in _IDS_OF.items() if ids not in known]
    known |= {_IDS_OF[name]: _tokenized(name, known, model, bos) for name in lacking}
    return {name: checked(name, value) for name, value in known.items()}


def _only_one(name: str, value: Any) -> Any:
    """An answer that stands alone, as a list of it; anything else as it is."""
    return [value] if name in _ALTERNATIVES and (isinstance(value, str) or type(value) is int) else value


def _holds_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and any(isinstance(v, str) for v in value))


def _tokenized(name: str, given: Mapping[str, Any], model: Any, bos: bool) -> tuple[int, ...]:
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ValueError("holds text alone, so a model with a tokenizer is needed to read it")
    prompt = _PROMPT_OF.get(name, name)
    if _IDS_OF[prompt] in given:
        raise ValueError(f"{name!r} is text, and the prompt it follows has ids; give both alike")
    text = checked_text(prompt, given[prompt])
    if name == prompt:
        return prompt_ids(tokenizer, text, bos)
    return tuple(answer_id(tokenizer, text, checked_text(name, answer)) for answer in given[name])
