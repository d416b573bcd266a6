"""Elements in XML: read with their attributes as text, and written so that reading brings back every type and mark."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from narval_engine import encoding
from narval_engine.elements import CLASSES, NAMES, Element, ErrorElement, StartPlan, element_from
from narval_engine.places import Mistake
from narval_engine.xmltext import escape, quoteattr
from narval_engine.xmltree import OWN, Node

#: Fewer names than XML allows, but all of them are names to every parser.
_NAME = re.compile("[A-Za-z_À-ÖØ-öø-ÿ][A-Za-z_À-ÖØ-öø-ÿ0-9.-]*\\Z")
#: What XML cannot hold even when escaped.
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_name(text: str) -> bool:
    """Whether a tag or an attribute may be called that."""
    return _NAME.match(text) is not None


def legible(value: Any) -> str:
    """The value as text that XML can hold; what it cannot becomes a question mark."""
    return _IMPOSSIBLE.sub("?", str(value))


def element_of(node: Node, mistakes: list[Mistake]) -> Element | None:
    """The element that a node stands for; ``None`` and a mistake where its class refuses the attributes."""
    attributes: dict[str, Any] = {name: value for name, value in node.attributes.items() if name != "eid"}
    children = [element_of(child, mistakes) for child in node.children]
    if children:
        attributes.setdefault("children", tuple(child for child in children if child is not None))
    if node.text.strip():
        attributes.setdefault("text", node.text)
    try:
        if "values" in node.own:
            attributes.update(encoding.attributes_from(node.own["values"]))
        made = _made(node, attributes)
        if "eid" in node.attributes:
            made.eid = _eid(node.attributes["eid"])
        _mark(made, node.own)
    except (TypeError, ValueError, KeyError) as error:
        mistakes.append(Mistake(f"<{node.tag}> cannot be made an element: {error}", node.place))
        return None
    return made


def _eid(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 53:
        raise ValueError(f"eid {text[:40]!r} is no number")
    return int(text)


def _made(node: Node, attributes: dict[str, Any]) -> Element:
    named = node.own.get("class")
    if named is None:
        return element_from(node.tag, attributes)
    kind = node.own.get("type", node.tag)
    cls = NAMES.get(named)
    if not (isinstance(cls, type) and issubclass(cls, Element)) or cls.private:
        raise ValueError(f"there is no element class {named!r}")
    return encoding.made(cls, kind, attributes)


def _mark(element: Element, own: dict[str, str]) -> None:
    if "plan" in own:
        element.made_by_plan = int(own["plan"])
    element.made_by_step = own.get("step")
    if "used" in own:
        used = encoding.value_from(own["used"])
        element.used_by = {(str(recipe), str(part)) for recipe, part in used}
    element.outdated = own.get("outdated") == "yes"


def start_plan_of(node: Node, mistakes: list[Mistake]) -> tuple[str, Iterable[Node]]:
    """The recipe that a start-plan names, and the nodes of what goes into the plan's context."""
    unknown = [name for name in node.attributes if name not in {"recipe", "eid"}]
    mistakes += [
        Mistake(f"unknown attribute {name!r} of <start-plan>; allowed is recipe", node.place) for name in unknown
    ]
    if not node.attributes.get("recipe"):
        mistakes.append(Mistake("<start-plan> needs the attribute 'recipe'", node.place))
    if node.text.strip():
        said = f"unexpected text {node.text.strip()[:40]!r} in <start-plan>; elements are allowed"
        mistakes.append(Mistake(said, node.place))
    return node.attributes.get("recipe", ""), node.children


def written(element: Element) -> str:
    """One element as XML. Raises encoding.EncodingError for an attribute that no file can hold."""
    plain: dict[str, str] = {}
    kept: dict[str, Any] = {}
    for name, value in element.__dict__.items():
        simple = isinstance(value, str) and is_name(name) and not _IMPOSSIBLE.search(value) and name != "eid"
        (plain if simple and name not in {"text", "children"} else kept)[name] = value
    text = kept.pop("text", "") if _is_text(kept.get("text")) else ""
    parts = [f" eid={quoteattr(str(element.eid))}"] if element.eid is not None else []
    parts += [f" {name}={quoteattr(value)}" for name, value in plain.items()]
    tag = element.type if is_name(element.type) else "element"
    for name, value in _own(element, tag, kept):
        parts.append(f" {OWN}{name}={quoteattr(value)}")
    body = f">{escape(text)}</{tag}>" if text else "/>"
    return f"<{tag}{''.join(parts)}{body}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _IMPOSSIBLE.search(value) and "\r" not in value


def _own(element: Element, tag: str, kept: dict[str, Any]) -> Iterable[tuple[str, str]]:
    cls = type(element)
    if cls is not CLASSES.get(tag, Element) or tag != element.type or isinstance(element, ErrorElement | StartPlan):
        yield "class", cls.__name__
        yield "type", element.type
    if kept:
        yield "values", encoding.attributes_text(kept)
    if element.made_by_plan is not None:
        yield "plan", str(element.made_by_plan)
    if element.made_by_step is not None:
        yield "step", element.made_by_step
    if element.used_by:
        yield "used", encoding.value_text(sorted(list(pair) for pair in element.used_by))
    if element.outdated:
        yield "outdated", "yes"
