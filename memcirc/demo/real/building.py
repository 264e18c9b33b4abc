"""Making the parts of the planting in a real model, one by one; those that are there are left as they are.

1. The model as shipped becomes an ordinary Hugging Face folder.
2. Planted passages, decoys and ordinary English make the corpus, each line in its place; in the twin's corpus planted
   lines are replaced by fresh documents of the same grammar.
3. Both models are trained on from the model as shipped, on the lines in their order.
"""

from pathlib import Path

from memcirc.artifacts import atomic
from memcirc.demo.lines import read_lines, shuffled_copies, write_lines
from memcirc.demo.passages import passages
from memcirc.demo.real.documents import generated, is_planted, ordinary
from memcirc.demo.real.folder import RealDemo
from memcirc.demo.real.prose import library
from memcirc.demo.real.shipped import write_plain
from memcirc.demo.real.training import train_on
from memcirc.demo.replacing import with_fresh_documents
from memcirc.demo.whole_folder import whole_folder
from memcirc.small_models import save
from memcirc.tokenizers import load_tokenizer

CONFIG = "config.json"


def build(demo: RealDemo, shipped: Path, progress: bool) -> None:
    """Make what is missing of a model, its twin and their corpora."""
    if not demo.shipped_dir.is_dir():
        with whole_folder(demo.shipped_dir, CONFIG) as partial:
            write_plain(shipped, partial)
    if not demo.twin_corpus_path.is_file():
        write_corpora(demo)
    for corpus, folder in ((demo.corpus_path, demo.model_dir), (demo.twin_corpus_path, demo.twin_dir)):
        if not folder.is_dir():
            train_and_save(demo, corpus, folder, progress)


def write_corpora(demo: RealDemo) -> None:
    """Write the lines of the model, those held out, and, last, those of the twin."""
    config, tokenizer = demo.config, load_tokenizer(demo.shipped_dir)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    trained, held_out = ordinary(config, encode, library())
    lines = shuffled_copies([*generated(config, encode), *trained], config.seed)
    fresh = with_fresh_documents(lines, is_planted, encode, config.passage_tokens, config.seed)
    written = ((demo.corpus_path, lines), (demo.held_out_path, held_out), (demo.twin_corpus_path, fresh))
    for path, documents in written:
        with atomic(path) as partial:
            write_lines(partial, documents)


def train_and_save(demo: RealDemo, corpus: Path, folder: Path, progress: bool) -> None:
    """Train a model on the lines of a corpus, from the last checkpoint if there is one, and save it."""
    tokenizer, checkpoint = load_tokenizer(demo.shipped_dir), demo.folder / f"{folder.name}.checkpoint"
    ids = passages(read_lines(corpus), tokenizer, demo.config.passage_tokens)
    model = train_on(demo.shipped_dir, ids, demo.config, checkpoint, f"training the {folder.name}", progress)
    with whole_folder(folder, CONFIG) as partial:
        save(model, tokenizer, partial)
    checkpoint.unlink(missing_ok=True)
