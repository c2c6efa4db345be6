"""Configs as text: parsed, with macros put in place, flattened to (id, value). Nothing is imported or evaluated."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

from monai_ext.sharing.audit.findings import Reporter

__all__ = [
    "CONFIG_SUFFIXES",
    "as_monai_reads",
    "flattened",
    "parse_config",
    "plain_place",
    "resolve_macros",
    "value_at",
]

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
LARGEST_CONFIG = 8 * 2**20
MOST_VALUES = 200_000
DEEPEST = 60
_SEPARATOR = "::"
_RELATIVE = re.compile(r"[@%](?:::)+")


def parse_config(content: bytes, reporter: Reporter) -> Any:
    """The content of a JSON or YAML file, or None when it cannot be read as text; what is odd is reported."""
    if len(content) > LARGEST_CONFIG:
        reporter.refuse(
            "config-too-large", f"a config of more than {LARGEST_CONFIG >> 20} MiB cannot be looked through"
        )
        return None
    try:
        text = content.decode("utf-8")
        if reporter.file.lower().endswith(".json"):
            config = json.loads(text, object_pairs_hook=lambda pairs: _without_duplicates(pairs, reporter))
        else:
            config = _parse_yaml(text, reporter)
    except (ValueError, RecursionError, ImportError) as error:
        reporter.refuse("config-unreadable", f"the config cannot be read as text ({_first_line(error)})")
        return None
    if any(len(keys) > DEEPEST for keys, _ in _walk(config)):
        reporter.refuse("config-too-deep", f"a config that is nested deeper than {DEEPEST} levels crashes readers")
        return None
    return config


def _without_duplicates(pairs: list[tuple[str, Any]], reporter: Reporter) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    for key in sorted(key for key, count in counts.items() if count > 1):
        reporter.refuse(
            "duplicate-key", "the key stands twice; readers see one value and MONAI uses the other", text=key
        )
    return dict(pairs)


def _parse_yaml(text: str, reporter: Reporter) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses repeated keys; Python objects are refused by the base class."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            _without_duplicates([(str(key), None) for key in keys], reporter)
            return super().construct_mapping(node, deep)

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            reporter.refuse("yaml-alias", "aliases show a value where it is not written, and can grow without bound")
            return None
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def flattened(config: Any) -> Iterator[tuple[str, Any]]:
    """Each value of a config with its id, containers before what they contain.

    >>> list(flattened({"a": [1]}))
    [('', {'a': [1]}), ('a', [1]), ('a::0', 1)]
    """
    for keys, value in _walk(config):
        yield _SEPARATOR.join(str(key) for key in keys), value


def _walk(config: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), config)]
    while waiting:
        keys, value = waiting.pop()
        yield keys, value
        if isinstance(value, Mapping):
            waiting += [((*keys, key), inner) for key, inner in reversed(list(value.items()))]
        elif isinstance(value, list):
            waiting += [((*keys, index), value[index]) for index in reversed(range(len(value)))]


def value_at(config: Any, place: str) -> Any:
    """The value of an id such as ``train::handlers::0``.

    Raises:
        KeyError: there is none.
    """
    for key in _parts(place):
        if isinstance(config, Mapping):
            config = config[key]
        elif isinstance(config, list) and re.fullmatch(r"-?\d+", key) and -len(config) <= int(key) < len(config):
            config = config[int(key)]
        else:
            raise KeyError(place)
    return config


def _parts(place: str) -> list[str]:
    place = place.replace("#", _SEPARATOR)
    return place.split(_SEPARATOR) if place else []


def plain_place(place: str) -> str:
    """The id that a value has once configs are merged: without the sign that merges, and with one separator.

    >>> plain_place("+train#handlers::0")
    'train::handlers::0'
    """
    first, separator, rest = place.partition(_SEPARATOR)
    return first.removeprefix("+").replace("#", _SEPARATOR) + separator + rest


def as_monai_reads(text: str, place: str) -> tuple[str, set[str]]:
    """A text as MONAI's parser leaves it, and the ids that it wrote into the text.

    Each ``#`` is a separator, in a string and where Python has comments, too. Relative ids (``@::a``: beside this
    value; one more ``::`` for each level up) become absolute, by the letters of the keys above.

    >>> as_monai_reads("$@::a + @b#c", "x::y")
    ('$@x::a + @b::c', {'x'})
    """
    text, parts = text.replace("#", _SEPARATOR), plain_place(place).split(_SEPARATOR)
    written = set()
    for prefix in sorted(set(_RELATIVE.findall(text)), reverse=True):
        above = parts[: max(len(parts) - prefix.count(_SEPARATOR), 0)]
        text = text.replace(prefix, prefix[0] + "".join(f"{key}{_SEPARATOR}" for key in above))
        written.add(_SEPARATOR.join(above))
    return text, written - {""}


def resolve_macros(config: Any, read: Callable[[str], list[Any]], reporter: Reporter) -> Any:
    """Put the text that ``%id`` and ``%file::id`` stand for in their places, again and again until none is left.

    Args:
        config: content of a config.
        read: gives the configs of the bundle that a name may stand for, in the order in which they are looked for; for
            an empty name all configs, which may be run together. Raises ``KeyError`` when there is none.
        reporter: told of macros that lead out of the bundle, to nothing, to several values, or in a circle.
    """
    named = _Named(read)
    resolved = {"": deepcopy(config)}
    size = sum(1 for _ in _walk(config))
    for _ in range(_MOST_ROUNDS):
        macros = [(keys, value) for keys, value in _walk(resolved) if isinstance(value, str) and value.startswith("%")]
        if not macros:
            return resolved[""]
        for keys, macro in macros:
            meaning = _meaning(resolved[""], keys[1:], macro, named, reporter)
            size += sum(1 for _ in _walk(meaning))
            _put(resolved, keys, meaning)
            if size > MOST_VALUES:
                reporter.refuse("macro-bomb", "macros that contain macros grow beyond what can be looked through")
                return config
    reporter.refuse("macro-circle", "macros refer to each other in a circle, or deeper than can be followed")
    return config


_MOST_ROUNDS = 8


class _Named:
    """Configs that a name may stand for, each looked through once: there may be as many macros as values.

    Args:
        read: as in :func:`resolve_macros`.
    """

    def __init__(self, read: Callable[[str], list[Any]]) -> None:
        self._read = read
        self._configs: dict[str, list[Any]] = {}
        self._values: dict[str, dict[str, list[Any]]] = {}

    def configs(self, file: str) -> list[Any]:
        """Those in the order in which they are looked for; raises ``KeyError`` when there is none."""
        if file not in self._configs:
            self._configs[file] = self._read(file)
        return self._configs[file]

    def values(self, file: str, place: str) -> list[Any]:
        """What stands at an id, also in configs that name it in one key such as ``train::epochs``; plain values only.

        Each different one is there once.
        """
        if file not in self._values:
            found: dict[str, list[Any]] = {}
            for config in self.configs(file):
                for written, value in flattened(config):
                    if not isinstance(value, (Mapping, list)):
                        known = found.setdefault(plain_place(written), [])
                        if value not in known:
                            known.append(value)
            self._values[file] = found
        return self._values[file].get(place, [])


def _meaning(config: Any, keys: tuple[Any, ...], macro: str, named: _Named, reporter: Reporter) -> Any:
    place = _SEPARATOR.join(str(key) for key in keys)
    file, wanted = _split(as_monai_reads(macro, place)[0])
    if file and (PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts or ":" in file or "\\" in file):
        reporter.refuse("macro-leaves-bundle", "the macro reads a file outside of the bundle", place=place, text=macro)
        return None
    try:
        configs = named.configs(file)
        meaning = deepcopy(value_at(configs[0] if file else config, wanted))
        if any(other != meaning for other in named.values(file, wanted)):
            reporter.question(
                "macro-ambiguous",
                "the macro stands for other values where configs are run together, or from another folder",
                place=place,
                text=macro,
            )
        return meaning
    except KeyError:
        reporter.question("macro-to-nothing", "the macro stands for nothing in the bundle", place=place, text=macro)
        return None


def _split(macro: str) -> tuple[str, str]:
    """File and id of a macro; the file is empty for the config itself."""
    match = re.match(r"(.*\.(?:json|yaml|yml))(?:::|$)(.*)", macro[1:], re.IGNORECASE)
    return (match.group(1), match.group(2)) if match else ("", macro[1:])


def _put(config: Any, keys: tuple[Any, ...], value: Any) -> None:
    for key in keys[:-1]:
        config = config[key]
    config[keys[-1]] = value
