"""A model larger than memory: its weights stay in their files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from memcirc import mapped
from memcirc.cli import main
from memcirc.mapped import free_bytes, state_on_disk
from memcirc.models import load_model
from memcirc.pretrained import load_pretrained
from tests.decoder.families import MODELS, loaded

LIMITED = """
import json, resource, sys
import memcirc
from memcirc.mapped import _told
from memcirc.models import load_model
from memcirc.pairs.record import Pair, Pairs

folder, room = sys.argv[1], int(sys.argv[2])
pairs = Pairs((Pair((1, 2, 3, 4), (1, 2, 7, 4), (5,), (6,)),))
if room:
    resource.setrlimit(resource.RLIMIT_DATA, (_told("/proc/self/status", "VmData") + room,) * 2)
try:
    load_model(folder, "cpu", "float64")
except ValueError as error:
    print(error, file=sys.stderr)
model = load_model(folder, "cpu")
scores = memcirc.attribute(model, pairs, "eap")
print(json.dumps([model.logits([1, 2, 3, 4]).tolist(), scores.values.tolist(), model.fingerprint]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of 300 MB in two files."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128, hidden_size=512, intermediate_size=4096, num_hidden_layers=10, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("large")
    LlamaForCausalLM(config).save_pretrained(path, max_shard_size="200MB")
    return path


def ran(folder: Path, room: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(room)], capture_output=True, text=True, encoding="utf-8",
        check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's own memory is Linux'")
def test_a_model_larger_than_memory_gives_what_it_gives_with_room(folder: Path) -> None:
    small, large = ran(folder, 150 << 20), ran(folder, 0)
    assert small.returncode == 0, small.stderr
    assert json.loads(small.stdout) == json.loads(large.stdout)
    assert "larger than memory" not in large.stderr
    assert small.stderr.count("larger than memory") == 1
    assert "as float64 are a copy of 0.57 GB" in small.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's address space is Linux'")
def test_files_larger_than_the_address_space_are_named_with_the_limit(folder: Path) -> None:
    program = (
        "import resource, sys; from memcirc.checkpoints import check_folder; from memcirc.mapped import _told\n"
        "room = _told('/proc/self/status', 'VmSize') + (100 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (room, room))\n"
        "try:\n    check_folder(__import__('pathlib').Path(sys.argv[1]))\n"
        "except ValueError as error:\n    print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert "no address space is left for its" in ended.stdout, ended.stderr


def saved(name: str, path: Path, dtype: str = "float32") -> Path:
    hf = loaded(name, dtype=dtype).hf
    assert hf is not None
    hf.save_pretrained(path)
    return path


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a thousand bytes of memory."""
    monkeypatch.setattr(mapped, "_available", lambda: 1000)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_type_is_the_same_from_disk(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_model(saved(name, tmp_path), "cpu")
    monkeypatch.setattr(mapped, "_available", lambda: 1000)
    after = load_model(tmp_path, "cpu")
    told = (
        rf"model {re.escape(str(tmp_path))}: 0\.\d\d MB of weights are larger than memory \(0.00 MB free\): they stay"
    )
    assert re.search(told, capsys.readouterr().err)
    assert torch.equal(after.logits([1, 2, 3]), before.logits([1, 2, 3]))
    assert after.statement() == before.statement()
    assert after.hf is not None
    assert before.hf is not None
    assert after.hf.generation_config.to_dict() == before.hf.generation_config.to_dict()
    assert after.hf.name_or_path == before.hf.name_or_path


@pytest.mark.usefixtures("full")
def test_the_stored_dtype_stays_and_another_is_refused(tmp_path: Path) -> None:
    saved("llama", tmp_path, "bfloat16")
    assert load_model(tmp_path, "cpu", "auto").dtype_name == "bfloat16"
    with pytest.raises(ValueError, match=r"as float32 are a copy of .* accepted: dtype auto"):
        load_model(tmp_path, "cpu")


@pytest.mark.usefixtures("full")
def test_what_goes_to_another_device_is_read_as_it_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved("llama", tmp_path, "bfloat16")
    assert load_pretrained(str(tmp_path), torch.float32, stays=False).dtype == torch.bfloat16
    assert "larger" not in capsys.readouterr().err


@pytest.mark.usefixtures("full")
def test_weights_that_do_not_fit_are_still_named(tmp_path: Path) -> None:
    saved("llama", tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(facts | {"num_hidden_layers": 9}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"do not fit its config\.json; missing: "):
        load_model(tmp_path, "cpu")


@pytest.mark.usefixtures("full")
def test_the_doctor_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(saved("llama", tmp_path))]) == 0
    assert "of weights are larger than memory (0.00 MB free): they stay on disk" in capsys.readouterr().out
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(999)}, tmp_path / "pytorch_model.bin")
    assert main(["doctor", str(tmp_path)]) == 0
    assert "larger than memory (0.00 MB free); only safetensors can stay on disk" in capsys.readouterr().out


def test_nothing_is_mapped_where_there_is_room_or_no_safetensors(tmp_path: Path) -> None:
    assert free_bytes() > 1000
    assert state_on_disk("a", [saved("llama", tmp_path) / "model.safetensors"], None) is None
    assert state_on_disk("a", [tmp_path / "pytorch_model.bin"], None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="what is free is read from Linux' own files")
def test_what_is_free_is_what_the_processs_limits_leave() -> None:
    program = (
        "import resource; from memcirc.mapped import free_bytes\n"
        "for limit in 'RLIMIT_DATA', 'RLIMIT_AS':\n"
        "    most = getattr(resource, limit), resource.getrlimit(getattr(resource, limit))\n"
        "    resource.setrlimit(most[0], (1 << 33, most[1][1]))\n"
        "    assert 0 < free_bytes() < 1 << 33, limit\n"
        "    resource.setrlimit(most[0], (1 << 20, most[1][1]))\n"
        "    assert free_bytes() == 0, limit\n"
        "    resource.setrlimit(*most)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stderr
