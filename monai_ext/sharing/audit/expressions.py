"""Expressions of configs (``$...``) as syntax trees: which names they reach and which attributes they use."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Expression", "UnreadableExpression", "import_of", "names_in", "parse_expression"]

REFERENCE = re.compile(r"@(?:\w*)(?:(?:::|#)\w*)*")
_STAND_IN = "__reference_{}"
LONGEST = 5000
_RANKS = {"RANK", "LOCAL_RANK", "WORLD_SIZE"}


class UnreadableExpression(ValueError):
    """An expression that is no Python expression."""


@dataclass
class Expression:
    """What an expression uses.

    Args:
        text: of the expression, without ``$``.
        names: dotted names that begin in a module or a built-in function, longest form only, with the node.
        attributes: of values that are computed, with the node.
        unknown: names that nothing in the configs defines.
        calls: each call, with the name that is called, or None where it is a value's.
        statements: kinds of statements and of nodes that no expression needs.
        references: ids that it refers to.
        quoted: literal strings that hold a reference, in whose place MONAI writes code with quotes of its own.
        spread: what is handed over by ``**`` other than a dictionary that is written there.
        constants: its literal strings and numbers.
        suffixes: those of the literals that are put behind something else, such as ``'/models'`` behind a folder.
        powers: powers and left shifts, which can be made to exhaust a machine.
    """

    text: str
    names: list[tuple[str, ast.AST]] = field(default_factory=list)
    attributes: list[tuple[str, ast.Attribute]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    calls: list[tuple[frozenset[str], ast.Call]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)
    spread: list[str] = field(default_factory=list)
    constants: list[object] = field(default_factory=list)
    suffixes: list[object] = field(default_factory=list)
    powers: list[ast.BinOp] = field(default_factory=list)


def import_of(text: str) -> tuple[str, str] | None:
    """The name that an import statement defines, and what it stands for in full; None for anything else."""
    try:
        first = next(iter(ast.parse(text).body), None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(first, ast.Import):
        alias = first.names[0]
        return alias.asname or alias.name, alias.name
    if isinstance(first, ast.ImportFrom):
        alias = first.names[0]
        return alias.asname or alias.name, f"{'.' * first.level}{first.module or ''}.{alias.name}"
    return None


def names_in(text: str, aliases: Mapping[str, set[str]]) -> tuple[set[str], set[str]]:
    """Dotted names and attributes of an expression; nothing when it cannot be read."""
    try:
        expression = parse_expression(text, aliases, lambda _: [])
    except UnreadableExpression:
        return set(), set()
    return {name for name, _ in expression.names}, {name for name, _ in expression.attributes}


def parse_expression(text: str, aliases: Mapping[str, set[str]], referred: Callable[[str], list[object]]) -> Expression:
    """Follow an expression of a config without evaluating it.

    Args:
        text: of the expression, without ``$``.
        aliases: what the imports of the configs define: for each name, all that it may stand for.
        referred: gives what stands at an id, once for each config that has it.

    Raises:
        UnreadableExpression: it is no Python, or too long.
    """
    if len(text) > LONGEST:
        raise UnreadableExpression(f"longer than {LONGEST} characters")
    try:
        references: list[str] = []
        tree = ast.parse(_with_stand_ins(text, references))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableExpression(str(error) or type(error).__name__) from error
    found = Expression(text, references=references)
    reader = _Reader(found, aliases, referred, references)
    for statement in tree.body:
        if isinstance(statement, ast.Expr):
            reader.visit(statement.value)
        else:
            found.statements.append(type(statement).__name__)
    return found


def _with_stand_ins(text: str, references: list[str]) -> str:
    """The text with a name in the place of each reference, which is added to the list at the name's number."""

    def stand_in(match: re.Match[str]) -> str:
        references.append(match.group()[1:])
        return _STAND_IN.format(len(references) - 1)

    return REFERENCE.sub(stand_in, text.replace("#", "::"))


def _has_written_keys(value: ast.expr) -> bool:
    return isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant) for key in value.keys)


_NO_EXPRESSION_NEEDS = (ast.Await, ast.Yield, ast.YieldFrom)


class _Reader(ast.NodeVisitor):
    """Walks a tree; each name and attribute chain is seen once, as a whole."""

    def __init__(
        self,
        found: Expression,
        aliases: Mapping[str, set[str]],
        referred: Callable[[str], list[object]],
        references: list[str],
    ) -> None:
        self.found = found
        self.aliases = aliases
        self.referred = referred
        self.references = references
        self.local: list[set[str]] = []
        self.depth = 0

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _NO_EXPRESSION_NEEDS):
            self.found.statements.append(type(node).__name__)
        super().generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        self.found.constants.append(node.value)
        text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        if isinstance(text, str) and _STAND_IN.format("") in text:
            for number in reversed(range(len(self.references))):
                text = text.replace(_STAND_IN.format(number), f"@{self.references[number]}")
            self.found.quoted.append(text)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._refuse_assignment(node)
        if not self._asks_for_rank(node.value, [node.slice], {"os.environ"}):
            self.generic_visit(node)

    def _asks_for_rank(self, asked: ast.expr, arguments: list[ast.expr], ways: set[str]) -> bool:
        """Whether it reads what ``torchrun`` says of the process, as multi-GPU configs do, and nothing else."""
        first = arguments[0] if arguments else None
        names = self.full_names(asked)
        return isinstance(first, ast.Constant) and first.value in _RANKS and bool(names) and names <= ways

    def _refuse_assignment(self, node: ast.Attribute | ast.Subscript) -> None:
        """A loop may assign to whatever is written behind its ``for``, also to a part of a module."""
        if not isinstance(node.ctx, ast.Load):
            self.found.statements.append(f"assignment to {ast.unparse(node)}")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, (ast.Pow, ast.LShift)):
            self.found.powers.append(node)
        if isinstance(node.op, ast.Add) and isinstance(node.right, ast.Constant):
            self.found.suffixes.append(node.right.value)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.found.suffixes += [part.value for part in node.values[1:] if isinstance(part, ast.Constant)]
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.found.calls.append((frozenset(self.full_names(node.func)), node))
        spread = [keyword.value for keyword in node.keywords if keyword.arg is None]
        self.found.spread += [ast.unparse(value) for value in spread if not _has_written_keys(value)]
        if self._asks_for_rank(node.func, node.args, {"os.environ.get", "os.getenv"}):
            for argument in node.args:
                self.visit(argument)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._note(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._refuse_assignment(node)
        names = self.full_names(node)
        if names:
            self.found.names += [(name, node) for name in names]
        else:
            self.found.attributes.append((node.attr, node))
            self.visit(node.value)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        self._within({argument.arg for argument in named + extra}, node)

    def _visit_comprehension(self, node: ast.AST) -> None:
        stored = {
            inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
        }
        self._within(stored, node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    def _within(self, names: set[str], node: ast.AST) -> None:
        self.local.append(names)
        self.generic_visit(node)
        self.local.pop()

    def _note(self, node: ast.Name) -> None:
        if self._is_local(node.id) or isinstance(node.ctx, ast.Store):
            return
        names = self.full_names(node)
        self.found.names += [(name, node) for name in names]
        if not names and self._reference(node.id) is None:
            self.found.unknown.append(node.id)

    def _is_local(self, name: str) -> bool:
        """Whether an argument or a loop defines it; names that have a meaning outside keep that one, too."""
        if name in self.aliases or hasattr(builtins, name):
            return False
        return any(name in names for names in self.local)

    def full_names(self, node: ast.AST) -> set[str]:
        """What a chain of names may stand for in full; nothing when it is a computed value."""
        if isinstance(node, ast.Name):
            if self._is_local(node.id):
                return set()
            if node.id in self.aliases:
                return set(self.aliases[node.id])
            place = self._reference(node.id)
            if place is not None:
                return set(self._behind(place))
            return {f"builtins.{node.id}"} if hasattr(builtins, node.id) else set()
        if isinstance(node, ast.Attribute):
            return {f"{name.removeprefix('builtins.')}.{node.attr}" for name in self.full_names(node.value)}
        return set()

    def _reference(self, name: str) -> str | None:
        """The id that a stand-in stands for."""
        number = name.removeprefix(_STAND_IN.format(""))
        return (
            self.references[int(number)]
            if number != name and number.isdigit() and int(number) < len(self.references)
            else None
        )

    def _behind(self, place: str) -> Iterator[str]:
        """Names that a reference stands for, when what is referred to is an import or a name itself."""
        if self.depth > 20:
            return
        self.depth += 1
        for value in self.referred(place):
            if isinstance(value, str) and value.startswith("@"):
                yield from self._behind(value[1:].replace("#", "::"))
            elif isinstance(value, str) and value.startswith("$"):
                yield from self._named_by(value[1:])
        self.depth -= 1

    def _named_by(self, text: str) -> Iterator[str]:
        imported = import_of(text)
        if imported is not None:
            yield imported[1]
            return
        try:
            body = ast.parse(_with_stand_ins(text, self.references)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        if len(body) == 1 and isinstance(body[0], ast.Expr):
            yield from self.full_names(body[0].value)
