"""Judge what is called in an expression, and with which arguments."""

from __future__ import annotations

import ast
import re
from typing import Any

from monai_ext.sharing.audit.expressions import Expression
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.audit.vocabulary import DANGEROUS_ARGUMENTS, QUESTIONED_ARGUMENTS

__all__ = ["is_small", "is_switch", "judge_argument", "judge_call", "judge_format"]

_SWITCHES = {"benchmark", "deterministic", "enabled", "allow_tf32"}
_LARGEST_EXPONENT = 64


def judge_argument(key: str, value: Any, place: str, reporter: Reporter) -> None:
    """Report an argument that runs code, or fetches something, by its name and value."""
    if value is True and key in QUESTIONED_ARGUMENTS:
        reporter.question("questioned-argument", QUESTIONED_ARGUMENTS[key], place=place, text=key)
    refused, reason = DANGEROUS_ARGUMENTS.get(key, (None, ""))
    if not reason:
        return
    harmless = isinstance(value, bool) and value is not refused
    if refused is ... or not harmless:
        reporter.refuse("dangerous-argument", reason, place=place, text=value)


def judge_call(names: frozenset[str], call: ast.Call, place: str, reporter: Reporter, *, own: bool) -> None:
    """Report a call of which the arguments make the difference; ``own`` says that it is an expression of ours."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    for name, value in (*keywords.items(), *_spread_out(call)):
        if name in DANGEROUS_ARGUMENTS.keys() | QUESTIONED_ARGUMENTS.keys():
            judge_argument(name, value.value if isinstance(value, ast.Constant) else value, place, reporter)
    if names & {"torch.load"} and "weights_only" not in keywords:
        reporter.question(
            "old-torch",
            "without weights_only=True, torch before 2.6 runs what it loads",
            place=place,
            text="torch.load",
        )
    if isinstance(call.func, ast.Attribute) and not names:
        if call.func.attr == "replace" and len(call.args) + len(call.keywords) < 2 and not own:
            reporter.refuse(
                "dangerous-method", "with one argument, this is how a file is renamed", place=place, text="replace"
            )
        if call.func.attr == "eval" and (call.args or call.keywords):
            reporter.refuse("dangerous-method", "with arguments, this evaluates a text", place=place, text="eval")


def judge_format(constant: str, place: str, reporter: Reporter) -> None:
    """Report a text that ``format`` would take for a way to private names."""
    if re.search(r"\{[^{}]*[.\[]_", constant):
        reporter.refuse("private-name", "a format that writes out Python's inner workings", place=place, text=constant)


def _spread_out(call: ast.Call) -> list[tuple[str, ast.AST]]:
    """Arguments of the dictionaries that are written in a call, behind ``**`` or to be handed on."""
    dictionaries = [keyword.value for keyword in call.keywords if isinstance(keyword.value, ast.Dict)]
    return [
        (str(key.value), value)
        for dictionary in dictionaries
        for key, value in zip(dictionary.keys, dictionary.values, strict=True)
        if isinstance(key, ast.Constant)
    ]


def is_switch(expression: Expression) -> bool:
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


def is_small(node: ast.BinOp) -> bool:
    """Whether a power or shift is one that a machine can compute at once."""
    base, exponent = node.left, node.right
    return (
        isinstance(exponent, ast.Constant)
        and isinstance(exponent.value, (int, float))
        and exponent.value <= _LARGEST_EXPONENT
        and not any(
            isinstance(inner, ast.BinOp) and isinstance(inner.op, (ast.Pow, ast.LShift)) for inner in ast.walk(base)
        )
    )
