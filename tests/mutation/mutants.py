"""Faults that are put into a module's source, one at a time, and a seeded sample of them."""

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOMS = {
    "pairs": ("pairs",),
    "metrics": ("metrics.py",),
    "circuits": ("circuits", "circuit.py"),
    "attribution": ("attribution",),
    "statistics": ("statistics.py",),
    "verification": ("verification",),
    "engine": ("engine",),
    "decoder": ("decoder",),
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TWINS = {"min": "max", "any": "all", "argmin": "argmax", "amin": "amax", "floor": "ceil", "append": "count"}
TWINS |= {twin: name for name, twin in TWINS.items() if name != "append"}
TYPES_AND_WORDS = ("annotation", "returns", "decorator_list")


@dataclass(frozen=True)
class Mutant:
    """A module's source with one fault, the line that it stands in and the function (0: none) around it."""

    room: str
    path: Path
    line: int
    function: int
    before: str
    after: str
    source: bytes

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.before}  ->  {self.after}"


def mutants_of(path: Path, room: str = "") -> list[Mutant]:
    """All faults that this tool knows to put into a file."""
    source = path.read_bytes()
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node, function in _places(ast.parse(source), 0):
        for after in _faults(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            before = " ".join(source[begin:end].decode().split())
            mutated = source[:begin] + after.encode() + source[end:]
            found.append(Mutant(room, path, node.lineno, function, before, after, mutated))
    return found


def _places(node: ast.AST, function: int) -> Iterator[tuple[ast.AST, int]]:
    """Every node that runs and its function's first line; types, decorators, texts and messages are left out."""
    if isinstance(node, ast.FunctionDef):
        function = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    elif isinstance(node, ast.Lambda):
        function = node.lineno
    yield node, function
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    for field, value in ast.iter_fields(node):
        if field in TYPES_AND_WORDS or (isinstance(node, ast.Assert) and field == "msg"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child, function)


def _faults(node: ast.AST) -> Iterator[str]:
    """What may stand in a node's place."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield _written(ast.Compare(node.left, [COMPARISONS[type(op)]()], node.comparators))
        case ast.BinOp(op=op) if type(op) in OPERATORS and not _is_type(node):
            yield _written(ast.BinOp(node.left, OPERATORS[type(op)](), node.right))
        case ast.BoolOp(op=op):
            yield _written(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values))
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield _written(node.operand)
        case ast.Constant(value=bool()):
            yield str(not node.value)
        case ast.Constant(value=int() | float()):
            yield _written(ast.Constant(node.value + 1))
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield ast.unparse(ast.AugAssign(node.target, OPERATORS[type(op)](), node.value))
        case ast.Return(value=ast.expr()):
            yield "return None"
        case ast.Raise():
            yield "pass"
        case ast.IfExp():
            yield _written(ast.IfExp(node.test, node.orelse, node.body))
        case ast.Slice():
            yield from (ast.unparse(ast.Slice(*part)) for part in _shorter(node))
        case ast.Call():
            yield from _calls(node)


def _is_type(node: ast.BinOp) -> bool:
    """Whether ``|`` joins types, as in an alias."""
    return isinstance(node.op, ast.BitOr) and any(
        isinstance(part, ast.Constant) or (isinstance(part, ast.Name) and part.id[0].isupper())
        for part in (node.left, node.right)
    )


def _written(expression: ast.expr) -> str:
    return f"({ast.unparse(expression)})"


def _shorter(node: ast.Slice) -> Iterator[tuple[ast.expr | None, ast.expr | None, ast.expr | None]]:
    """A slice without its first bound, without its second."""
    if node.lower is not None:
        yield None, node.upper, node.step
    if node.upper is not None:
        yield node.lower, None, node.step


def _calls(node: ast.Call) -> Iterator[str]:
    """A call of the opposite function; a call without its last named argument."""
    match node.func:
        case ast.Name(id=name) if name in TWINS:
            yield ast.unparse(ast.Call(ast.Name(TWINS[name]), node.args, node.keywords))
        case ast.Attribute(attr=name) if name in TWINS:
            yield ast.unparse(ast.Call(ast.Attribute(node.func.value, TWINS[name]), node.args, node.keywords))
    if node.keywords and node.keywords[-1].arg is not None:
        yield ast.unparse(ast.Call(node.func, node.args, node.keywords[:-1]))


def files_of(room: str) -> list[Path]:
    """The modules of a room."""
    places = [ROOT / "memcirc" / name for name in ROOMS[room]]
    return sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))


def everything(rooms: Sequence[str] = tuple(ROOMS)) -> list[Mutant]:
    """All mutants of some rooms."""
    return [mutant for room in rooms for path in files_of(room) for mutant in mutants_of(path, room)]


def sample(count: int, seed: int, rooms: Sequence[str] = tuple(ROOMS)) -> list[Mutant]:
    """About ``count`` of all mutants, shuffled; a room's share goes with the root of how many it has, so that a small
    one is not passed over."""
    rng = random.Random(seed)
    every = {room: everything([room]) for room in rooms}
    whole = sum(len(own) ** 0.5 for own in every.values())
    drawn = []
    for own in every.values():
        drawn += rng.sample(own, min(len(own), round(count * len(own) ** 0.5 / whole)))
    rng.shuffle(drawn)
    return drawn
