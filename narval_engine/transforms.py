"""Transformations (manual II.1.4): XSLT with a prototype, registered as actions. Needs lxml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lxml import etree

from narval_engine import xmlelements
from narval_engine.actions import Action, Registry
from narval_engine.elements import Element, attributes_of
from narval_engine.expressions import compiled
from narval_engine.places import Mistake, Place
from narval_engine.prototypes import Output, Prototype
from narval_engine.validity import prototype_mistakes
from narval_engine.xmlrecipes import prototype_of
from narval_engine.xmltree import Node, Reading, parsed

_GROUP = "transform"


def load(path: Path, registry: Registry, mistakes: list[Mistake]) -> None:
    """Registers the transformation of a file as an action; what is wrong with it is added to ``mistakes``.

    ``Email.to_html.xsl`` is "Email.to_html"; a file whose name has no group, ``to_html.xsl``, "transform.to_html".

    The stylesheet gets ``<inputs>`` with an ``<input id="...">`` for each input and the elements inside. What it makes
    below a root ``<outputs>`` (or the one root, of any other name) are the outputs: each element goes to
    the first output that it matches. It can read no file, reach no network and write nothing.
    """
    name = path.stem if "." in path.stem else f"{_GROUP}.{path.stem}"
    try:
        text = path.read_bytes()
    except OSError as error:
        mistakes.append(Mistake(f"cannot be read: {error.strerror}", Place(str(path), 1)))
        return
    root = parsed(text, str(path), mistakes)
    if root is None:
        return
    described = [child for child in root.children if child.tag == "prototype"]
    if len(described) != 1:
        mistakes.append(Mistake("a transformation has one <prototype> below its root", root.place))
        return
    prototype, descriptions = _prototype(described[0], mistakes)
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        tree = etree.fromstring(text, parser)
        for child in tree.findall("{*}prototype"):
            # XSLT ignores it only where it has a namespace.
            tree.remove(child)
        sheet = etree.XSLT(tree, access_control=etree.XSLTAccessControl.DENY_ALL)
    except (etree.XSLTParseError, etree.XMLSyntaxError) as error:
        mistakes.append(Mistake(f"is no XSLT: {error}", Place(str(path), getattr(error, "lineno", None) or 1)))
        return
    problems = list(prototype_mistakes(prototype, root.place, f"transformation {name!r}"))
    if name in registry:
        problems.append(Mistake(f"action {name!r} is there twice", root.place))
    mistakes += problems
    if not problems:
        registry.add(Action(name, _function(sheet, prototype.outputs, path), prototype, descriptions=descriptions))


def _prototype(node: Node, mistakes: list[Mistake]) -> tuple[Prototype, dict[str, str]]:
    reading = Reading(mistakes)
    reading.attributes(node, ())
    reading.children(node, "description", "input", "output")
    descriptions = {
        child.attributes.get("lang", ""): child.text.strip() for child in node.children if child.tag == "description"
    }
    inputs, outputs = prototype_of(node, mistakes)
    return Prototype(inputs, outputs), descriptions


def _function(
    sheet: etree.XSLT, outputs: tuple[Output, ...], path: Path
) -> Callable[[dict[str, Any]], dict[str, list[Element]]]:
    def transform(inputs: dict[str, Any]) -> dict[str, list[Element]]:
        result = sheet(_document(inputs))
        return _sorted_out(_elements(etree.tostring(result), path), outputs, inputs)

    return transform


def _document(inputs: dict[str, Any]) -> Any:
    top = etree.Element("inputs")
    for name, value in inputs.items():
        below = etree.SubElement(top, "input", id=name)
        for element in value if isinstance(value, list) else [] if value is None else [value]:
            below.append(_node(element))
    return etree.ElementTree(top)


def _node(element: Element) -> Any:
    """The element as a node. A type that is no name in XML is the attribute ``type`` of an ``element``."""
    plain = {
        name: xmlelements.legible(value) for name, value in attributes_of(element).items() if _is_plain(name, value)
    }
    named = xmlelements.is_name(element.type)
    made = etree.Element(element.type if named else "element")
    if not named:
        plain["type"] = xmlelements.legible(element.type)
    made.text = plain.pop("text", None)
    for name, value in plain.items():
        made.set(name, value)
    children = getattr(element, "children", ())
    made.extend(_node(child) for child in children if isinstance(child, Element))
    return made


def _fits(element: Element, output: Output, inputs: dict[str, Any]) -> bool:
    names = [name for name in inputs if name.isidentifier() and name != output.id]
    return all(compiled(source, names, output.id).matches(element, inputs) for source in output.match)


def _is_plain(name: str, value: Any) -> bool:
    return isinstance(value, str | int | float) and xmlelements.is_name(name)


def _elements(text: bytes, path: Path) -> list[Element]:
    mistakes: list[Mistake] = []
    root = parsed(text, str(path), mistakes) if text.strip() else None
    nodes = [] if root is None else root.children if root.tag == "outputs" else [root]
    made = [xmlelements.element_of(node, mistakes) for node in nodes]
    if mistakes:
        raise ValueError(f"the transformation made no elements: {mistakes[0].message}")
    return [element for element in made if element is not None]


def _sorted_out(
    elements: list[Element], outputs: tuple[Output, ...], inputs: dict[str, Any]
) -> dict[str, list[Element]]:
    sorted_out: dict[str, list[Element]] = {}
    for element in elements:
        chosen = next((each for each in outputs if _fits(element, each, inputs)), outputs[0] if outputs else None)
        if chosen is None:
            raise ValueError(f"the prototype has no output for <{element.type}>")
        sorted_out.setdefault(chosen.id, []).append(element)
    return sorted_out
