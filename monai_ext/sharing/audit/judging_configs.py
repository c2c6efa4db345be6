"""Judge the configs of a bundle together: an import in one gives a name its meaning in all others."""

from __future__ import annotations

import builtins
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from monai_ext.sharing.audit.allowed import Allowed
from monai_ext.sharing.audit.config_text import as_monai_reads, flattened, plain_place
from monai_ext.sharing.audit.expressions import Expression, UnreadableExpression, import_of, parse_expression
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.audit.judging_calls import is_small, is_switch, judge_argument, judge_call, judge_format
from monai_ext.sharing.audit.judging_names import Verdict, judge_attribute, judge_import, judge_name, judge_target
from monai_ext.sharing.audit.judging_strings import judge_string, judge_suffix, urls_in
from monai_ext.sharing.audit.vocabulary import DEFAULT_GLOBALS, LOOKED_UP, PARSER

__all__ = ["ConfigJudge", "Inventory"]

_DEEPEST_REFERENCE = 20
_READS_FILES, _READS_VALUES = "monai.bundle.ConfigParser.load_config_file", "monai.bundle.ConfigParser.get"


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
        self.values: dict[str, dict[str, Any]] = {}
        self.overlaid: dict[str, list[Any]] = {}
        self.places: dict[str, list[str]] = {}
        for file, config in configs.items():
            self.values[file] = {plain_place(place): value for place, value in flattened(config)}
            self.places[file] = sorted(self.values[file])
            for key, value in config.items() if isinstance(config, Mapping) else ():
                if "::" in plain_place(str(key)):
                    self.overlaid.setdefault(plain_place(str(key)), []).append(value)
            for _, value in flattened(config):
                imported = import_of(value[1:]) if isinstance(value, str) and value.startswith("$") else None
                if imported is not None:
                    self.aliases.setdefault(imported[0], set()).add(imported[1])
        self.overlaid_places = sorted(self.overlaid)

    def judge(self, file: str) -> Reporter:
        """Judge one config; returns what was found in it."""
        reporter = Reporter(file)
        for place, value in flattened(self.configs[file]):
            key = re.split(r"::|#", place)[-1]
            if key == "_target_":
                self.inventory.targets.add(str(value))
                _tell(reporter, judge_target(value, self.allowed), place, value)
                self._judge_parser(value, place, reporter)
            if key == "_mode_" and value not in ("default", "callable"):
                reporter.refuse(
                    "debug-mode", "this mode starts the debugger, or is none of MONAI's", place=place, text=value
                )
            judge_argument(key, value, place, reporter)
            if isinstance(value, str):
                self._judge_text(key, value, place, reporter)
        return reporter

    def _judge_text(self, key: str, text: str, place: str, reporter: Reporter) -> None:
        if re.sub(r"(::|#)\d+$", "", place).replace("#", "::").rpartition("::")[2] in LOOKED_UP:
            self._judge_looked_up(text, place, reporter)
        if text.startswith("@"):
            self._judge_reference(as_monai_reads(text[1:], place)[0], place, reporter)
        if text.startswith("$"):
            self.inventory.expressions.add(text)
            read, written = as_monai_reads(text[1:], place)
            if not all(re.fullmatch(r"[\w:]*", key) for key in written):
                reporter.refuse(
                    "key-in-expression",
                    "a relative id writes the keys above it into the expression, and these are no plain names",
                    place=place,
                    text=text,
                )
            self._judge_expression(read, place, reporter)
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
        switch = is_switch(expression)
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
            if name.startswith("__"):
                reporter.refuse("private-name", "a name of the parser's own workings", place=place, text=name)
            else:
                reporter.question("undefined-name", "nothing in the configs defines this name", place=place, text=name)
        for statement in expression.statements:
            reporter.refuse("statement", "more than an expression", place=place, text=statement)
        for reference in expression.references:
            self._judge_reference(reference, place, reporter)
        for text in expression.quoted:
            reporter.refuse(
                "reference-in-string",
                "MONAI writes code with quotes into the place of a reference, so that the string ends there",
                place=place,
                text=text,
            )
        for text in expression.spread:
            reporter.question("computed-arguments", "arguments that only a run can tell", place=place, text=text)
        for names, call in expression.calls:
            judge_call(names, call, place, reporter, own=own)
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
                judge_format(constant, place, reporter)
                self.inventory.urls.update(urls_in(constant))
                suffix = constant in expression.suffixes
                _tell(
                    reporter,
                    judge_suffix(constant) if suffix else judge_string("", constant, self.allowed),
                    place,
                    constant,
                )
        if any(not is_small(node) for node in expression.powers):
            reporter.refuse(
                "exhausting", "a power this large can exhaust the machine", place=place, text=expression.text
            )

    def _judge_parser(self, target: object, place: str, reporter: Reporter) -> None:
        """A parser of MONAI's evaluates what it is given; only a file of the bundle passes, which is judged itself."""
        if str(target).rpartition(".")[2] != "ConfigParser":
            return
        above = plain_place(place).removesuffix("_target_")
        arguments = self._some_below(above, reporter.file) if above else set()
        configs = self._meanings(f"{above}config", reporter.file)
        passes = arguments == {f"{above}_target_", f"{above}config"}
        if not passes or not all(self._is_file(value, place, reporter.file) for value in configs):
            reporter.refuse("config-in-config", PARSER, place=place, text=target)

    def _some_below(self, above: str, file: str) -> set[str]:
        """Ids that begin so in a file that is run, and in overlays: all of them, or three."""
        found: set[str] = set()
        for places in (self.places[file], self.overlaid_places):
            for place in islice(places, bisect_left(places, above), None):
                if len(found) > 2 or not place.startswith(above):
                    break
                found.add(place)
        return found

    def _is_file(self, value: object, place: str, file: str) -> bool:
        """Whether a value refers to the content of a file, wherever that id is written."""
        if not isinstance(value, str) or not value.startswith("@"):
            return False
        targets = self._meanings(f"{as_monai_reads(value[1:], place)[0]}::_target_", file)
        return bool(targets) and all(target == _READS_FILES for target in targets)

    def _judge_reference(self, reference: str, place: str, reporter: Reporter) -> None:
        """Each attribute of a parser is evaluated: nothing but reading its plain values passes."""
        targets = self._meanings(f"{reference}::_target_", reporter.file)
        if "ConfigParser" not in {str(target).rpartition(".")[2] for target in targets}:
            return
        above, _, key = plain_place(place).rpartition("::")
        if key != "self" or self._meanings(f"{above}::_target_", reporter.file) != [_READS_VALUES]:
            reporter.refuse("config-in-config", PARSER, place=place, text=f"@{reference}")

    def _meanings(self, place: str, file: str) -> list[Any]:
        """What stands at an id when a file is run: its own value, else those of all others; and what overlays put."""
        own = self.values[file]
        found = [own[place]] if place in own else self._values_at(place)
        return found + [value for value in self.overlaid.get(place, []) if value not in found]

    def _judge_looked_up(self, text: str, place: str, reporter: Reporter, depth: int = 0) -> None:
        """What some components look up by its name and call: the name of a class, not of a function of Python's."""
        if text.startswith("@") and depth < _DEEPEST_REFERENCE:
            for value in self._values_at(as_monai_reads(text[1:], place)[0]):
                if isinstance(value, str):
                    self._judge_looked_up(value, place, reporter, depth + 1)
        elif text.startswith(("$", "@")):
            reporter.question(
                "computed-target", "the component looks up and calls what this gives", place=place, text=text
            )
        elif hasattr(builtins, text):
            reporter.refuse("hidden-target", "the component looks up and calls this function", place=place, text=text)

    def _values_at(self, place: str) -> list[Any]:
        """What stands at an id, in each config that has it."""
        return [values[place] for values in self.values.values() if place in values]


def _tell(reporter: Reporter, verdict: Verdict, place: str, text: object) -> None:
    if verdict is not None:
        level, rule, reason = verdict
        reporter.add(level, rule, reason, place=place, text=text)
