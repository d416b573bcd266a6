"""Recipes in the manual's XML as a ``job.xn``: the XML of the engine, with an attribute ``contexts`` of steps besides.

``<step id="test" type="action" target="peon.playbook" contexts="setup run">``: names with blanks between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kommandir.mistakes import Mistake
from kommandir.recipes import reading
from kommandir.recipes.reading import Recipes
from kommandir.xn.schema import CONTEXTS
from kommandir.yamlfile import Document, Way
from narval_engine import Mistake as EngineMistake
from narval_engine import xmlrecipes, xmltree
from narval_engine.xmltree import Node

#: Limits of steps that a job does not have; they are told as such.
_LIMITS = ("memory", "cpu")


def read(text: str | bytes, source: str, mistakes: list[Mistake]) -> tuple[Recipes, Document]:
    """The recipes of an XML text, and the text as the document of the mapping form that says the same.

    What is wrong is added to ``mistakes``.
    """
    told: list[EngineMistake] = []
    root = xmltree.parsed(text, source, told)
    if root is None:
        mistakes += [Mistake(str(each.place), each.message, "mend the XML") for each in told]
        return Recipes(), Document({}, source)
    document = _document(root, source)
    recipes = reading.checked(document, lambda found: xmlrecipes.recipes_below(root, found, [CONTEXTS]), mistakes)
    return recipes, document


def _document(root: Node, source: str) -> Document:
    lines: dict[Way, int] = {(): root.place.line}
    nodes = [root] if root.tag == "recipe" else [child for child in root.children if child.tag == "recipe"]
    recipes = [_recipe(node, ("recipes", number), lines) for number, node in enumerate(nodes)]
    return Document({"recipes": recipes}, source, lines)


def _recipe(node: Node, way: Way, lines: dict[Way, int]) -> Mapping[str, Any]:
    lines[way] = node.place.line
    steps = [child for child in node.children if child.tag == "step"]
    return {"steps": [_step(step, (*way, "steps", number), lines) for number, step in enumerate(steps)]}


def _step(node: Node, way: Way, lines: dict[Way, int]) -> Mapping[str, Any]:
    lines[way] = node.place.line
    known = ("id", "target", "type", *_LIMITS)
    found: dict[str, Any] = {name: text for name, text in node.attributes.items() if name in known}
    if CONTEXTS in node.attributes:
        found[CONTEXTS] = node.attributes[CONTEXTS].split()
    given = list(_arguments(node))
    found["arguments"] = [_argument(each, (*way, "arguments", at), lines) for at, each in enumerate(given)]
    return found


def _arguments(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.tag == "arguments":
            yield from child.children


def _argument(node: Node, way: Way, lines: dict[Way, int]) -> Mapping[str, Any]:
    """An element as a mapping of its type to its attributes; what stands inside of it is no key that any action has."""
    lines[way] = lines[(*way, node.tag)] = node.place.line
    keys: dict[str, Any] = dict(node.attributes)
    keys |= {child.tag: child.text for child in node.children}
    if node.text.strip():
        keys["text"] = node.text
    return {node.tag: keys}
