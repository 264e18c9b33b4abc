"""Making the embedded default: a corpus file and a Hugging Face folder.

1. Drafts teach the tokenizer its vocabulary.
2. Background and families, measured in its tokens, make the corpus; each document stands in it once per copy.
3. The model is trained on the opening passage of every line.
"""

import itertools
from pathlib import Path

import torch

from memcirc.demo.config import DemoConfig
from memcirc.demo.lines import shuffled_copies, write_lines
from memcirc.demo.planting import background, drafts, families
from memcirc.demo.tokenizer import train_tokenizer
from memcirc.demo.training import train
from memcirc.small_models import no_bar_for_saving


def build(config: DemoConfig, corpus_path: Path, model_dir: Path, progress: bool) -> None:
    """Write the corpus and the trained model that `config` describes."""
    texts = (draft.text for _, draft in itertools.islice(drafts(config.seed), config.background))
    tokenizer = train_tokenizer(texts, config.vocabulary)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    unrelated = background(config, encode)
    lines = shuffled_copies([*unrelated, *families(config, encode, unrelated)], config.seed)
    write_lines(corpus_path, lines)

    passages = torch.tensor([encode(document.text)[: config.passage_tokens] for document in lines])
    model = train(config, passages, progress)
    with no_bar_for_saving():
        model.save_pretrained(model_dir)
        tokenizer.save_pretrained(model_dir)
