import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
from huggingface_hub import constants

from memcirc import hub, pretrained, tokenizers
from memcirc.hub import PATIENCE, only_cached
from memcirc.models import load_model
from memcirc.small_models import word_tokenizer
from memcirc.tokenizers import load_tokenizer
from memcirc.twins import beside
from tests.models import small_hf_model


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses asked of a hub that is not there."""
    addresses: list[str] = []

    def refuse(url: str, timeout: float) -> NoReturn:
        assert timeout == PATIENCE
        addresses.append(url)
        raise ConnectionError("name or service not known")

    monkeypatch.setattr(hub, "get_hf_file_metadata", refuse)
    return addresses


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the hub's files that holds the model `own/tiny`."""
    small_hf_model("llama").hf.save_pretrained(tmp_path / "saved")
    word_tokenizer(["a b c"], r" ?\w+").save_pretrained(tmp_path / "saved")
    folder = tmp_path / "models--own--tiny"
    shutil.copytree(tmp_path / "saved", folder / "snapshots" / ("ab12" * 10))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("ab12" * 10, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_hub_that_is_not_there_is_asked_once(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **options: Any) -> NoReturn:
        raise AssertionError("the client, which asks again and again, was called")

    monkeypatch.setattr(pretrained.AutoModelForCausalLM, "from_pretrained", never)
    monkeypatch.setattr(tokenizers.AutoTokenizer, "from_pretrained", never)
    with pytest.raises(FileNotFoundError, match=r"'no/such-model' is neither .* \(the hub is not reached") as raised:
        load_model("no/such-model")
    assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match="the hub is not reached"):
        load_tokenizer("no/such-model")
    assert [address.rpartition("/")[2] for address in asked] == ["config.json", "config.json"]


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "two words", "no--such", "x.safetensors/"])
def test_a_name_that_no_hub_has_is_not_asked_for(name: str, asked: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match="is neither a local folder nor to be had from the hub"):
        load_model(name)
    assert not asked


def test_what_is_cached_loads_without_a_hub(asked: list[str], cache: Path) -> None:
    assert only_cached("own/tiny")
    model = load_model("own/tiny", device="cpu")
    assert (model.revision, model.tokenizer.vocab_size) == ("ab12" * 10, 5)
    with pytest.raises(FileNotFoundError, match="nothing by that name is cached"):
        only_cached("own/tiny", "README.md", "dataset")


def test_a_revision_of_a_cached_model_loads_with_its_own_weights(asked: list[str], cache: Path) -> None:
    folder, commit = cache / "models--own--tiny", "cd34" * 10
    small_hf_model("llama", seed=5).hf.save_pretrained(folder / "snapshots" / commit)
    word_tokenizer(["a b c"], r" ?\w+").save_pretrained(folder / "snapshots" / commit)
    (folder / "refs" / "step1000").write_text(commit, encoding="utf-8")
    last, early = load_model("own/tiny", device="cpu"), load_model("own/tiny", device="cpu", revision="step1000")
    assert (early.name, early.revision) == ("own/tiny", commit)
    assert early.fingerprint != last.fingerprint
    assert beside(last, early).statement()["twin_revision"] == commit
    with pytest.raises(FileNotFoundError, match="at revision 'step7' is neither cached here nor to be had"):
        load_model("own/tiny", device="cpu", revision="step7")
    with pytest.raises(FileNotFoundError, match="is a folder, and has no revision 'step7'"):
        load_model(str(folder / "snapshots" / commit), device="cpu", revision="step7")


def test_a_hub_that_answers_is_left_to_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: None)
    assert not only_cached("any/name")


def test_an_address_where_nothing_listens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "hf_hub_url", lambda name, file, repo_type: f"http://127.0.0.1:9/{name}/{file}")
    with pytest.raises(FileNotFoundError, match="the hub is not reached"):
        only_cached("no/such-model")
