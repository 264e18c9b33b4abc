"""Making the embedded default: a corpus file, and the Hugging Face folders of the model and of its twin.

1. Drafts teach the tokenizer its vocabulary.
2. Background and families, measured in its tokens, make the corpus; each document stands in it once per copy.
3. In the twin's corpus every line of a family is replaced by a fresh document.
4. Both models are trained on the opening passages of their lines, in the same order, and share the first steps.
"""

import itertools
import shutil
from pathlib import Path

from memcirc.demo.folder import Demo
from memcirc.demo.lines import read_lines, shuffled_copies, write_lines
from memcirc.demo.passages import passages
from memcirc.demo.planting import background, drafts, families
from memcirc.demo.replacing import with_fresh_documents
from memcirc.demo.tokenizer import train_tokenizer
from memcirc.demo.training import train
from memcirc.small_models import save
from memcirc.tokenizers import load_tokenizer

OTHER_ORDER = 1000  # more than anyone's seeds are apart


def build(demo: Demo, progress: bool) -> None:
    """Write the corpora and the trained models that the configuration describes."""
    config = demo.config
    texts = (draft.text for _, draft in itertools.islice(drafts(config.seed), config.background))
    tokenizer = train_tokenizer(texts, config.vocabulary)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    unrelated = background(config, encode)
    lines = shuffled_copies([*unrelated, *families(config, encode, unrelated)], config.seed)
    twin_lines = with_fresh_documents(
        lines, lambda line: line.family is not None, encode, config.passage_tokens, config.seed
    )
    write_lines(demo.corpus_path, lines)
    write_lines(demo.twin_corpus_path, twin_lines)

    learned = [passages(each, tokenizer, config.passage_tokens) for each in (lines, twin_lines)]
    model, twin = train(config, learned, progress)
    save(model, tokenizer, demo.model_dir)
    save(twin, tokenizer, demo.twin_dir)


def build_null_twin(demo: Demo, folder: Path, progress: bool) -> None:
    """Write a model trained on the lines of a default's twin in another order."""
    config, tokenizer = demo.config, load_tokenizer(demo.twin_dir)
    learned = passages(read_lines(demo.twin_corpus_path), tokenizer, config.passage_tokens)
    (model,) = train(config, [learned], progress, order=config.seed + OTHER_ORDER)
    shutil.copytree(demo.twin_dir, folder, dirs_exist_ok=True)  # the tokenizer byte for byte; all else is written anew
    save(model, None, folder)
