"""YAML as nodes that know their lines; plain values are made of them here, so that nothing in a file does anything.

A date stays the text that it is, whether in quotes or not; tags of YAML's own kinds count, and no others. JSON is YAML
too, as far as lines go.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from operations.files import WrongFile

_MOST_VALUES = 3_000_000
"""The most values of a file, with those that aliases repeat: a file of 20,000 users has 200,000."""
_OWN = "tag:yaml.org,2002:"
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


def compose(file: Path, text: str) -> Node | None:
    """Read a document; None if there is nothing in it. Raises WrongFile."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "it cannot be read"
        raise WrongFile(file, [(mark.line + 1 if mark else 1, f"is not YAML: {what}")]) from None
    except RecursionError:
        raise WrongFile(file, [(1, "is nested too deeply")]) from None
    except (YAMLError, ValueError, AttributeError, TypeError, IndexError, KeyError, AssertionError) as error:
        # A character that YAML has not; and what the parser itself stumbles over, such as %YAML of an odd version.
        what = str(error).partition("\n")[0] or type(error).__name__
        raise WrongFile(file, [(_line_of_odd(text, error), f"is not YAML: {what}")]) from None
    return node


def plain(file: Path, node: Node | None) -> Any:
    """Make plain values: mappings by the text of their keys, lists, texts, numbers, truths, None. Raises WrongFile."""
    return _Plain(file).of(node)


def line_of(node: Node | None, path: Sequence[str | int]) -> int:
    """The line, from 1, of the last part of a path that is there; of something in a mapping its key's."""
    line = 1
    for part in path:
        if isinstance(node, MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


class _Plain:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0
        self._inside: set[int] = set()

    def of(self, node: Node | None) -> Any:
        if node is None:
            return None
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._wrong(node, f"has more than {_MOST_VALUES:,} values, with those that aliases (*) repeat")
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._inside:
            raise self._wrong(node, "has an alias (*) to what it is in itself")
        self._inside.add(id(node))
        try:
            if isinstance(node, SequenceNode) and node.tag == f"{_OWN}seq":
                return [self.of(part) for part in node.value]
            if isinstance(node, MappingNode) and node.tag == f"{_OWN}map":
                return self._mapping(node)
        except RecursionError:
            raise self._wrong(node, "is nested too deeply") from None
        finally:
            self._inside.discard(id(node))
        raise self._wrong(node, f"the tag {_short(node.tag)} cannot stand here: leave it out")

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._wrong(key, "the name of a field must be a text")
            if key.tag == f"{_OWN}merge":
                merged = self._merged(value) | merged
                continue
            name = str(self._whole(key, key.value))
            if name in lines:
                raise self._wrong(key, f"{name} is given twice, first in line {lines[name]}")
            lines[name] = key.start_mark.line + 1
            values[name] = self.of(value)
        return merged | values

    def _merged(self, node: Node) -> dict[str, Any]:
        parts = self.of(node)
        found: dict[str, Any] = {}
        for part in parts if isinstance(parts, list) else [parts]:
            if not isinstance(part, dict):
                raise self._wrong(node, "<< takes a mapping, or a list of mappings")
            found = part | found  # the first that has a field counts
        return found

    def _scalar(self, node: ScalarNode) -> Any:
        kind, text = str(node.tag).removeprefix(_OWN), self._whole(node, str(node.value))
        try:
            if kind in ("str", "timestamp", "value"):
                return text
            if kind == "null":
                return None
            if kind == "bool":
                return _TRUTHS[text.lower()]
            if kind == "int":
                return int(text, 10) if text.lstrip("+-").isdecimal() else int(text, 0)
            if kind == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            raise self._wrong(node, f"{text[:40]} is not a plain {kind}: write it in quotes") from None
        raise self._wrong(node, f"the tag {_short(node.tag)} cannot stand here: leave it out")

    def _whole(self, node: Node, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._wrong(node, "has half a character (\\ud800 to \\udfff)") from None
        return text

    def _wrong(self, node: Node, problem: str) -> WrongFile:
        return WrongFile(self._file, [(node.start_mark.line + 1, problem)])


def _short(tag: Any) -> str:
    return str(tag).replace(_OWN, "!!")[:60]


def _line_of_odd(text: str, error: Exception) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
