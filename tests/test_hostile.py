"""Files from strangers: whatever bytes a reader is given, it gives a value or a refusal, and runs nothing in them."""

import gzip
import json
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
import zstandard
from jaxtyping import TypeCheckError
from transformers import GPT2Config

import memcirc
from memcirc.artifacts import Marker, read_json
from memcirc.attribution.scores import load_scores
from memcirc.cli import MISTAKE, main
from memcirc.corpus.files import rows_of_file
from memcirc.corpus.windows import read_windows
from memcirc.interop.reading import load_circuit, read_scored
from memcirc.pairs.file import load_pairs
from memcirc.run.config import read_config, resolve
from memcirc.studies.pii.samples import of_file
from memcirc.verification.passages import Choice, passages_from
from memcirc.verification.result import Verification
from memcirc.work.parts import Parts
from tests.models import random_pairs, small_model

REFUSALS = (ValueError, FileNotFoundError, OSError)
CHANGES = 25
MEMORIZED: set[str] = set()
"""Documents that the scores of the run at hand tell of."""


class Armed:
    """Unpickled, it writes a file: whoever reads a pickle of it as such does what a stranger says."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.trap, "sprung")


def pickles(folder: Path, trap: Path) -> Iterator[bytes]:
    """The ways in which such a pickle comes: plain, as torch writes it, as it wrote it once."""
    yield pickle.dumps(Armed(trap))
    yield pickle.dumps({"prompts": [Armed(trap)]}, protocol=0)
    for zipped in (True, False):
        torch.save({"wte.weight": Armed(trap)}, folder / "armed", _use_new_zipfile_serialization=zipped)
        yield (folder / "armed").read_bytes()
        (folder / "armed").unlink()


def model_folder(path: Path, content: bytes) -> Any:
    """A folder that says it is a small GPT-2, with weights of those bytes, loaded."""
    GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=8, n_positions=8).save_pretrained(path.parent)
    (path.parent / "pytorch_model.bin").write_bytes(content)
    return memcirc.load_model(path.parent, device="cpu")


def all_rows(path: Path) -> Any:
    return list(rows_of_file(path))


def adapter(path: Path, content: bytes) -> Any:
    folder, base = path.parent / "adapter", path.parent / "base"
    folder.mkdir(exist_ok=True)
    GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=8, n_positions=8).save_pretrained(base)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base)}))
    (folder / "adapter_model.bin").write_bytes(content)
    return memcirc.load_model(folder, device="cpu")


def passages(path: Path) -> Any:
    return passages_from(path, Choice(16, MEMORIZED, 2, 0, "bleu4", 0.5))


def a_part(path: Path) -> Any:
    parts = Parts(path.parent / "parts", {"units": 1})
    parts.path(0).parent.mkdir(exist_ok=True)
    shutil.copy(path, parts.path(0))
    return list(parts.tables())


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "pairs": ("p.json", load_pairs),
    "circuit": ("c.json", load_circuit),
    "scored circuit": ("c.json", read_scored),
    "circuit as MIB's tensors": ("c.pt", load_circuit),
    "circuit as AutoCircuit's scores": ("c.pkl", load_circuit),
    "edge scores": ("s.safetensors", load_scores),
    "edge scores in a pickle": ("s.pkl", load_scores),
    "configuration": ("c.yaml", lambda path: resolve(read_config(path), {})),
    "marker": ("done.json", Marker.read),
    "verification": ("v.json", lambda path: Verification.from_json(read_json(path))),
    "windows": ("w.parquet", read_windows),
    "scores": ("s.parquet", passages),
    "a finished unit": ("u.parquet", a_part),
    "samples of personal data": ("s.json", lambda path: of_file(path, small_model("gpt2"))),
    **{f"corpus {kind}": (f"c{kind}", all_rows)
       for kind in (".jsonl", ".jsonl.zst", ".jsonl.gz", ".json", ".txt", ".parquet")},
    "weights": ("w.bin", lambda path: model_folder(path, path.read_bytes())),
    "an adapter": ("a.bin", lambda path: adapter(path, path.read_bytes())),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_pickle_in_the_place_of_any_file_is_never_run(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    for content in pickles(tmp_path, trap := tmp_path / "trap"):
        (tmp_path / name).write_bytes(content)
        with suppress(*REFUSALS) if reader == "corpus .txt" else pytest.raises(REFUSALS):  # a text may hold anything
            read(tmp_path / name)
        assert not trap.exists()
    pickle.loads(pickle.dumps(Armed(trap)))
    assert trap.exists(), "the trap would not have sprung"


@pytest.mark.parametrize(
    "options", [["--path", "X"], ["--dataset", "X"], ["--model_name", "X"], ["--twin_name", "X"], ["X"]]
)
def test_a_pickle_given_to_a_command_is_one_line(
    options: list[str], run_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in pickles(tmp_path, trap := tmp_path / "trap"):
        (tmp_path / "x.pkl").write_bytes(content)
        given = [word.replace("X", str(tmp_path / "x.pkl")) for word in options]
        rest = [*run_options, "--run_dir", str(tmp_path / "run")]
        assert main(["run", *given, *rest] if options == ["X"] else ["run", *rest, *given]) == MISTAKE
        assert not trap.exists()
    capsys.readouterr()


def test_a_configuration_with_objects_of_python_makes_none(tmp_path: Path) -> None:
    for tag in ("object/apply:pathlib.Path.touch", "object/new:os.system", "name:os.system", "module:os"):
        (tmp_path / "c.yaml").write_text(f"model: !!python/{tag} [{tmp_path / 'trap'}]\n")
        with pytest.raises(ValueError, match="not YAML"):
            read_config(tmp_path / "c.yaml")
    assert not (tmp_path / "trap").exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> dict[str, bytes]:
    """For every reader the content of a file that it reads."""
    folder, task = tmp_path_factory.mktemp("sound"), finished_run / "branch"
    rows = [{"text": f"some text {i}", "meta": {"pile_set_name": "ArXiv"}} for i in range(5)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    pq.write_table(pa.table({"text": [row["text"] for row in rows]}), folder / "c.parquet")
    parts = Parts(folder / "parts", {"units": 1})
    parts.write(0, pa.table({"a": [1, 2, 3]}))
    scores = pq.read_table(finished_run / "score" / "scores.parquet")
    MEMORIZED.update(scores["doc_id"].to_pylist()[::2])
    random_pairs(3).save(folder / "p.json")
    circuit = (task / "discover" / "circuit.json").read_bytes()
    config = yaml.safe_load((finished_run / "config.yaml").read_text(encoding="utf-8"))
    return {
        "pairs": (folder / "p.json").read_bytes(),
        "circuit": circuit,
        "scored circuit": circuit,
        "edge scores": (task / "discover" / "edge_scores.safetensors").read_bytes(),
        "configuration": yaml.safe_dump({k: v for k, v in config.items() if k != "folder"}).encode(),
        "marker": (task / "discover" / "done.json").read_bytes(),
        "verification": (task / "verify" / "verification.json").read_bytes(),
        "windows": (finished_run / "windows" / "windows.parquet").read_bytes(),
        "scores": (finished_run / "score" / "scores.parquet").read_bytes(),
        "a finished unit": parts.path(0).read_bytes(),
        "corpus .jsonl": lines,
        "corpus .jsonl.zst": zstandard.compress(lines),
        "corpus .jsonl.gz": gzip.compress(lines),
        "corpus .json": json.dumps(rows).encode(),
        "corpus .txt": lines,
        "corpus .parquet": (folder / "c.parquet").read_bytes(),
    }


NASTY = [b"\x00", b"\xff\xfe", b"[" * 3000, b"1e999", b"-1", b"NaN", b'"\\ud800"', b"{}", b"[]", b"null", b"true",
         b"99999999999999999999999", b"../../x", b'""', "\u202e".encode()]  # fmt: skip


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The same bytes with one of the ways in which files go wrong, or are made to."""
    start = draw.randrange(len(content) + 1)
    stop = min(len(content), start + draw.choice([1, 1, 4, 64, len(content)]))
    middle = draw.choice(
        [b"", content[start:stop] * 2, draw.choice(NASTY), draw.randbytes(max(1, min(stop - start, 64)))]
    )
    return content[:start] + middle + content[stop:]


def respelled(content: bytes, draw: random.Random) -> bytes:
    """JSON or YAML whose structure is whole, with one value that is another sort of thing."""
    whole = yaml.safe_load(content) if not content.startswith((b"{", b"[")) else json.loads(content)
    node: Any = whole
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw.choice(keys)
        if not (isinstance(node[key], dict | list) and node[key]) or draw.random() < 0.3:
            break
        node = node[key]
    odd: list[Any] = [None, -1, 0, 2**70, 1e308, True, "", "x" * 3000, [], {}, [[]], {"a": 1}, "../x", "\x00", [None]]
    if isinstance(node, dict) and draw.random() < 0.2:
        del node[key]
    else:
        node[key] = draw.choice(odd)
    return yaml.safe_dump(whole).encode() if not content.startswith((b"{", b"[")) else json.dumps(whole).encode()


STRUCTURED = ("pairs", "circuit", "scored circuit", "configuration", "marker", "verification", "corpus .json")


def hold(reader: str, sound: bytes, folder: Path, numbers: range) -> int:
    """Read mutants of a sound file; fails where the reader raises what is no refusal, with the number of the mutant.
    Gives how many were refused."""
    (name, read), refused = READERS[reader], 0
    for number in numbers:
        draw = random.Random(f"{reader} {number}")
        change = respelled if reader in STRUCTURED and number % 2 else mutated
        (folder / name).write_bytes(change(sound, draw))
        try:
            read(folder / name)
        except (*REFUSALS, TypeCheckError):  # the latter where tests check annotations, before the fields are
            refused += 1
        except Exception as error:
            raise AssertionError(f"{reader}, mutant {number}: {type(error).__name__}: {error}") from error
    return refused


MUTATED = [name for name in READERS if not name.startswith(("weights", "an adapter", "samples")) and " as " not in name
           and "pickle" not in name]  # fmt: skip


@pytest.mark.parametrize("reader", MUTATED)
def test_a_damaged_file_is_read_or_refused(reader: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(sound[reader])
    read(tmp_path / name)
    hold(reader, sound[reader], tmp_path, range(CHANGES))


@pytest.mark.slow
@pytest.mark.parametrize("reader", MUTATED)
def test_many_damaged_files_are_read_or_refused(
    reader: str, sound: dict[str, bytes], tmp_path: Path, count: Callable[[str], None]
) -> None:
    refused = hold(reader, sound[reader], tmp_path, numbers := range(CHANGES, 80 * CHANGES))
    count(f"{len(numbers)} mutated inputs, {reader}: {refused} refused, {len(numbers) - refused} read")
