"""The house keeps its order: imports run one way, documents name what exists, importing is cheap."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import memcirc

ROOT = Path(__file__).parent.parent
ROOMS = [
    ("config", "statistics", "interventions", "study", "options", "schema", "artifacts", "showing"),
    ("work",),
    ("graph", "decoder"),
    ("alignment", "architectures", "checkpoints", "devices", "hub", "ids", "lens", "mapped"),
    ("pretrained", "examining", "tokenizers"),
    ("models",),
    ("twins", "origin"),
    ("small_models",),
    ("demo",),
    ("corpus",),
    ("memorization",),
    ("pairs",),
    ("circuit_file",),
    ("published",),
    ("metrics", "circuit"),
    ("engine",),
    ("interop",),
    ("engines",),
    ("attribution",),
    ("circuits",),
    ("verification",),
    ("patching",),
    ("report",),
    ("studies",),
    ("run",),
    ("doctor", "commands", "cli", "__main__"),
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "memcirc" else [node.module]
            )
        found |= {name.split(".")[1] for name in names if name.startswith("memcirc.")}
    return found


def test_a_module_imports_only_from_rooms_at_or_above_its_own() -> None:
    wrong = []
    for path in sorted((ROOT / "memcirc").rglob("*.py")):
        room = path.relative_to(ROOT / "memcirc").parts[0].removesuffix(".py")
        if room != "__init__":
            wrong += [f"{path.name}: {room} -> {other}" for other in imported_rooms(path) if LEVEL[other] > LEVEL[room]]
    assert not wrong


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {path.stem for path in (ROOT / "memcirc").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__"} == set(LEVEL)


def imported_modules(path: Path) -> set[str]:
    """The modules of ours that a module imports anywhere, type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("memcirc"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | names
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "memcirc").rglob("*.py")
        if path.name != "__init__.py"
    }  # fmt: skip
    graph = {name: imported_modules(path) & paths.keys() - {name} for name, path in paths.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


NOT_FILES = ("os", "parts")


def opens_text_in_the_platforms_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text without saying in which encoding."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in said or getattr(owner, "id", "") in NOT_FILES:
        return False
    if name == "open":
        places = call.args if owner else call.args[1:]
        mode = said.get("mode", places[0] if places else ast.Constant("r"))
        return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
    if name in ("run", "Popen", "check_output"):
        return "text" in said or "universal_newlines" in said
    return name in ("read_text", "TextIOWrapper") or (name == "write_text" and owner is not None)


def test_no_text_is_read_or_written_in_the_platforms_encoding() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("memcirc", "pipeline", "benchmarks", "verify_scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_in_the_platforms_encoding(node)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("path.read_text()", True), ("path.open()", True), ("open(path)", True), ("open(path, 'w')", True),
        ("path.open('w')", True), ("path.open(mode='a')", True), ("path.write_text(text)", True),
        ("io.TextIOWrapper(raw)", True), ("subprocess.run(line, text=True)", True),
        ("path.open('rb')", False), ("open(path, 'wb')", False), ("os.open(path, flags)", False),
        ("path.read_text(encoding='utf-8')", False), ("write_text(path, text)", False), ("path.read_bytes()", False),
    ],
)  # fmt: skip
def test_such_text_is_found(line: str, expected: bool) -> None:
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_text_in_the_platforms_encoding(call) == expected


def test_everything_the_tree_of_the_house_names_exists() -> None:
    tree = re.search(r"```text\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.S)
    assert tree is not None
    names = [line.split()[0] for line in tree[1].splitlines() if line.strip()]
    assert len(names) > 10
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("name", memcirc.__all__)
def test_every_public_name_is_there_with_a_docstring(name: str) -> None:
    assert getattr(memcirc, name).__doc__


def test_help_names_every_public_name() -> None:
    words = set(re.findall(r"\w+", str(memcirc.__doc__)))
    assert set(memcirc.__all__) <= words


def test_the_public_names_are_imported_from_their_homes_where_types_are_checked() -> None:
    tree = ast.parse((ROOT / "memcirc" / "__init__.py").read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {name: homes.get(name) for name in memcirc.__all__} == memcirc._HOMES


def test_importing_memcirc_loads_no_torch() -> None:
    code = "import sys, memcirc, memcirc.cli; memcirc.cli.parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_sets_its_threads_before_torch_is_loaded() -> None:
    """What waits for signals and how threads wait is settled first; a mistake costs no import of torch."""
    code = (
        "import sys, memcirc.__main__ as command\n"
        "sys.argv = ['memcirc', 'no-such-command']\n"
        "try: command.run()\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_the_native_road_never_imports_the_peer() -> None:
    code = (
        "import sys, memcirc; [getattr(memcirc, n) for n in memcirc.__all__]; "
        "sys.exit('auto_circuit' in sys.modules or 'jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_stages_of_the_issue_have_their_scripts() -> None:
    for name in ("download_pile_subset.sh", "memorization_score.py", "contrastive_dataset.py", "find_circuits.py",
                 "verify_circuit.py", "run_pipeline.sh"):  # fmt: skip
        assert (ROOT / "pipeline" / name).is_file()
    assert len(list((ROOT / "verify_scripts").glob("verify_*.sh"))) == 11


def test_a_folder_of_the_same_name_does_not_hide_the_library(tmp_path: Path) -> None:
    """As in the folder above a clone: Python takes a folder without ``__init__.py`` for a package only where no real
    one is found further along its path."""
    (tmp_path / "memcirc").mkdir()
    code = "import memcirc; memcirc.load_pairs"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


LONG = 100
WITHOUT_MIRROR = {
    "texts that are drawn: tests/demo/test_grammar.py and test_planting.py hold what must be true of them": (
        "demo/encyclopedia", "demo/source_code", "demo/court_opinions", "demo/office_mail"),
    "words of the command: tests/test_cli.py and tests/run/test_mistakes.py run them": (
        "run/command", "run/config", "run/presets", "run/process"),
    "stages of a run: tests/run/test_pipeline.py, test_units.py and test_reading.py run them in turn": (
        "run/scoring", "run/stages", "run/transfer", "run/sizes", "work/executors"),
    "the page: tests/report/test_report.py, test_verification.py and test_claims.py read what it says": (
        "report/figures", "report/page", "report/view", "report/corpus", "report/checks/specificity",
        "report/checks/curve", "report/checks/faithfulness", "report/checks/random", "report/checks/removal",
        "report/checks/stability", "report/transfer", "report/sections", "report/circuits"),
    "one model type after another: tests/decoder/test_families.py loads them all": (
        "architectures",),
    "text said under a cache: tests/memorization/test_generation.py and test_extraction.py": ("memorization/decoding",),
}  # fmt: skip


def mirror_of(module: str) -> Path:
    folder, _, name = module.rpartition("/")
    return ROOT / "tests" / folder / f"test_{name}.py"


def test_every_module_above_a_hundred_lines_has_a_mirror_among_the_tests() -> None:
    modules = {
        path.relative_to(ROOT / "memcirc").with_suffix("").as_posix()
        for path in (ROOT / "memcirc").rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > LONG
    }
    without = {module for module in modules if not mirror_of(module).is_file()}
    assert without == {module for modules in WITHOUT_MIRROR.values() for module in modules}


def test_what_is_said_to_test_a_module_without_a_mirror_is_there() -> None:
    for reason in WITHOUT_MIRROR:
        for name in re.findall(r"test_\w+\.py", reason):
            assert list((ROOT / "tests").rglob(name)), name
