"""Studies of a real model, as its users start them: indirect objects, and personal data in a model beside its twin.

python -m benchmarks.studies [--model FOLDER] [--pairs 8] [--twins FOLDER]

The default model is SmolLM2-135M from the package that ships it (30 layers, 9 heads); pairs of 15 tokens. The twins are
those of ``make demo-real`` in ``runs/cache``; without them their study is left out. Asked are extensions and names in
planted letters and court opinions: those of 10 copies and more, and as many of one copy for comparison.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, report
from memcirc.demo.real.shipped import shipped_file

LIMIT = 180
SUBSETS = ("Enron Emails", "FreeLaw")
DATUM = re.compile(r"(?:\bext\.|\b[A-Z][a-z]+)( \d{4}| [A-Z][a-z]+)\b")
"""An extension behind its word, or the second of two capitalised words."""
PROMPT, EACH, OF_A_PASSAGE = range(60, 180), 8, 2
"""Characters of a prompt (the passages are learned up to their 64th token, about 250 characters); samples that are to
be known, and for comparison; samples of a passage at most."""
RECITED = 10


def samples(corpus: Path) -> list[dict[str, Any]]:
    """What ``memcirc patch pii --samples`` reads."""
    lines = map(json.loads, corpus.read_text(encoding="utf-8").splitlines())
    passages = {line["meta"]["doc_id"]: line for line in lines if line["meta"]["pile_set_name"] in SUBSETS}
    known, others = [], []
    for _, line in sorted(passages.items()):
        text, copies = line["text"], line["meta"]["copies"]
        if 1 < copies < RECITED:
            continue
        data = [found for found in DATUM.finditer(text) if found.start(1) in PROMPT][:OF_A_PASSAGE]
        for found in data:
            kind = "extension" if found[1].strip().isdigit() else "name"
            sample = {"prompt": text[: found.start(1)], "answer": found[1], "type": kind, "copies": copies}
            (known if copies > 1 else others).append(sample | {"memorized": copies > 1})
    return known[:EACH] + others[:EACH]


def timed(study: str, *options: str) -> float:
    """Seconds of a study from its command's start to its page."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "memcirc", "patch", study, *options, "--run_dir", f"{folder}/run"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    made = next((record.parent for record in Path("runs/cache").glob("real-*/real.json")), None)
    parser.add_argument("--twins", type=Path, default=made)
    options = parser.parse_args()
    try:
        model = options.model or shipped_file()
    except FileNotFoundError as reason:
        print(f"the study is left out: {reason}")
        return
    seconds = timed("ioi", "--model", str(model), "--n_pairs", str(options.pairs))
    rows = [Row(f"patch ioi, {options.pairs} pairs, everything", seconds, LIMIT, f"{LIMIT} seconds", 1.0, True)]
    if options.twins is None:
        print("personal data is left out: no twins in runs/cache, which `make demo-real` makes")
    else:
        asked = samples(options.twins / "corpus.jsonl")
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            json.dump(asked, file)
            file.flush()
            pair = ["--target", str(options.twins / "model"), "--control", str(options.twins / "twin")]
            seconds = timed("pii", *pair, "--samples", file.name)
        work = f"patch pii, {len(asked)} samples, everything"
        rows.append(Row(work, seconds, LIMIT, f"{LIMIT} seconds", 1.0, True))
    report("studies", f"Studies of a real model, {model.stem}", rows, model=model.name)


if __name__ == "__main__":
    main()
