"""Judge the configs of a bundle together: an import in one gives a name its meaning in all others."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_ext.sharing.audit.allowed import Allowed
from monai_ext.sharing.audit.config_text import flattened, value_at
from monai_ext.sharing.audit.expressions import Expression, UnreadableExpression, import_of, parse_expression
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.audit.judging_names import Verdict, judge_attribute, judge_import, judge_name, judge_target
from monai_ext.sharing.audit.judging_strings import judge_string, judge_suffix, urls_in
from monai_ext.sharing.audit.vocabulary import DANGEROUS_ARGUMENTS, DEFAULT_GLOBALS

__all__ = ["ConfigJudge", "Inventory"]

_SWITCHES = {"benchmark", "deterministic", "enabled", "allow_tf32"}
_LARGEST_EXPONENT = 64


@dataclass
class Inventory:
    """Everything that configs name: for a person who wants to read it all."""

    targets: set[str] = field(default_factory=set)
    expressions: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, list[str]]:
        """As sorted lists."""
        return {name: sorted(values) for name, values in vars(self).items()}


class ConfigJudge:
    """Judges each value of each config.

    Args:
        configs: content of each, macros resolved, by file.
        allowed: what passes.
        own_modules: names of Python modules that travel in the bundle.
    """

    def __init__(self, configs: Mapping[str, Any], *, allowed: Allowed, own_modules: set[str]) -> None:
        self.configs = configs
        self.allowed = allowed
        self.own_modules = own_modules
        self.inventory = Inventory()
        self.aliases = {alias: {name} for alias, name in DEFAULT_GLOBALS.items()}
        for config in configs.values():
            for _, value in flattened(config):
                imported = import_of(value[1:]) if isinstance(value, str) and value.startswith("$") else None
                if imported is not None:
                    self.aliases.setdefault(imported[0], set()).add(imported[1])

    def judge(self, file: str) -> Reporter:
        """Judge one config; returns what was found in it."""
        reporter = Reporter(file)
        for place, value in flattened(self.configs[file]):
            key = re.split(r"::|#", place)[-1]
            if key == "_target_":
                self.inventory.targets.add(str(value))
                _tell(reporter, judge_target(value, self.allowed), place, value)
            if key == "_mode_" and value not in ("default", "callable"):
                reporter.refuse(
                    "debug-mode", "this mode starts the debugger, or is none of MONAI's", place=place, text=value
                )
            _judge_argument(key, value, place, reporter)
            if isinstance(value, str):
                self._judge_text(key, value, place, reporter)
        return reporter

    def _judge_text(self, key: str, text: str, place: str, reporter: Reporter) -> None:
        if text.startswith("$"):
            self.inventory.expressions.add(text)
            self._judge_expression(text[1:], place, reporter)
            return
        if key == "_target_" or text.startswith(("@", "%")):
            return
        about = reporter.file.endswith("metadata.json")
        self.inventory.urls.update(urls_in(text))
        if not about:
            _tell(reporter, judge_string(key, text, self.allowed), place, text)
        elif "spatial_shape" in place and not re.fullmatch(r"[\d\s*np()]+", text):
            reporter.refuse(
                "evaluated-shape", "MONAI evaluates shapes of metadata; this is no shape", place=place, text=text
            )

    def _judge_expression(self, text: str, place: str, reporter: Reporter) -> None:
        imported = import_of(text)
        if imported is not None:
            self.inventory.imports.add(imported[1])
            _tell(reporter, judge_import(imported[1], self.allowed, self.own_modules), place, text)
            return
        try:
            expression = parse_expression(text, self.aliases, self._values_at)
        except UnreadableExpression as error:
            reporter.refuse(
                "expression-unreadable", f"no Python expression ({error}), so that it fails or hides", place=place
            )
            return
        self._judge_parts(expression, place, reporter)

    def _judge_parts(self, expression: Expression, place: str, reporter: Reporter) -> None:
        switch = _is_switch(expression)
        own = expression.text in self.allowed.openings
        for name, _ in expression.names:
            passes = (switch and name == "builtins.setattr") or (own and name == "builtins.open")
            if not passes:
                _tell(reporter, judge_name(name, self.allowed), place, name)
        if switch:
            reporter.note("switch", "sets a switch of torch's backends", place=place, text=expression.text)
        for attribute, _ in expression.attributes:
            _tell(reporter, judge_attribute(attribute, self.allowed), place, attribute)
        for name in expression.unknown:
            reporter.question("undefined-name", "nothing in the configs defines this name", place=place, text=name)
        for statement in expression.statements:
            reporter.refuse("statement", "more than an expression", place=place, text=statement)
        for names, call in expression.calls:
            _judge_call(names, call, place, reporter, own=own)
        if sum(name == "torch.load" for name, _ in expression.names) > sum(
            "torch.load" in names for names, _ in expression.calls
        ):
            reporter.refuse(
                "dangerous-argument",
                "torch.load is handed over, to be called in any way",
                place=place,
                text="torch.load",
            )
        for constant in expression.constants:
            if isinstance(constant, str):
                self.inventory.urls.update(urls_in(constant))
                suffix = constant in expression.suffixes
                _tell(
                    reporter,
                    judge_suffix(constant) if suffix else judge_string("", constant, self.allowed),
                    place,
                    constant,
                )
        if any(not _is_small(node) for node in expression.powers):
            reporter.refuse(
                "exhausting", "a power this large can exhaust the machine", place=place, text=expression.text
            )

    def _values_at(self, place: str) -> list[Any]:
        found = []
        for config in self.configs.values():
            try:
                found.append(value_at(config, place))
            except KeyError:
                continue
        return found


def _tell(reporter: Reporter, verdict: Verdict, place: str, text: object) -> None:
    if verdict is not None:
        level, rule, reason = verdict
        reporter.add(level, rule, reason, place=place, text=text)


def _judge_argument(key: str, value: Any, place: str, reporter: Reporter) -> None:
    refused, reason = DANGEROUS_ARGUMENTS.get(key, (None, ""))
    if not reason:
        return
    harmless = isinstance(value, bool) and value is not refused
    if refused is ... or not harmless:
        reporter.refuse("dangerous-argument", reason, place=place, text=value)


def _judge_call(names: frozenset[str], call: ast.Call, place: str, reporter: Reporter, *, own: bool) -> None:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    for name, value in keywords.items():
        if name in DANGEROUS_ARGUMENTS:
            _judge_argument(name, value.value if isinstance(value, ast.Constant) else value, place, reporter)
    if names & {"torch.load"} and "weights_only" not in keywords:
        reporter.refuse(
            "dangerous-argument", "torch.load runs code without weights_only=True", place=place, text="torch.load"
        )
    if isinstance(call.func, ast.Attribute) and not names:
        if call.func.attr == "replace" and len(call.args) + len(call.keywords) < 2 and not own:
            reporter.refuse(
                "dangerous-method", "with one argument, this is how a file is renamed", place=place, text="replace"
            )
        if call.func.attr == "eval" and (call.args or call.keywords):
            reporter.refuse("dangerous-method", "with arguments, this evaluates a text", place=place, text="eval")


def _is_switch(expression: Expression) -> bool:
    """Whether it is ``setattr(torch.backends.cudnn, 'benchmark', True)`` and nothing else, as in many of the zoo's."""
    if len(expression.calls) != 1:
        return False
    names, call = expression.calls[0]
    if names != {"builtins.setattr"} or len(call.args) != 3 or call.keywords:
        return False
    where, what, value = call.args
    return (
        ast.unparse(where).startswith("torch.backends.")
        and isinstance(what, ast.Constant)
        and what.value in _SWITCHES
        and isinstance(value, ast.Constant)
        and isinstance(value.value, bool)
    )


def _is_small(node: ast.BinOp) -> bool:
    base, exponent = node.left, node.right
    return (
        isinstance(exponent, ast.Constant)
        and isinstance(exponent.value, (int, float))
        and exponent.value <= _LARGEST_EXPONENT
        and not any(
            isinstance(inner, ast.BinOp) and isinstance(inner.op, (ast.Pow, ast.LShift)) for inner in ast.walk(base)
        )
    )
