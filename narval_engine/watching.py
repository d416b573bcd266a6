"""``narval run --watch``: a service that takes elements from a stream, as XML, one a line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TextIO

from narval_engine import xmlelements
from narval_engine.elements import Element
from narval_engine.engine import Engine
from narval_engine.places import Mistake
from narval_engine.xmltree import Node, parsed

#: An engine that is busy with much that is quick does not keep the stream waiting for longer.
_LONGEST = 1.0
_NOT_HERE = frozenset({"memory", "recipe", "cookbook", "plan"})


def watch(engine: Engine, stream: TextIO, stopped: Callable[[], bool]) -> None:
    """Runs the engine until the stream has ended and nothing more can happen, or ``stopped()``.

    A line that is no element is told on standard error, with its number, and changes nothing.
    """
    reader = threading.Thread(target=_read, args=(engine, stream, stopped), name="narval-watch", daemon=True)
    reader.start()
    engine.serve(lambda: stopped() or not reader.is_alive())
    # The rest: also what is to be ended, if it was stopped.
    engine.run()


def _element(node: Node, mistakes: list[Mistake]) -> Element | None:
    """The element of a line; recipes and plans, which a home has, are none."""
    if node.tag in _NOT_HERE:
        mistakes.append(Mistake(f"<{node.tag}> has its place in a home; elements are allowed, one a line", node.place))
    elif node.tag == "start-plan":
        _name, children = xmlelements.start_plan_of(node, mistakes)
        if any(child.tag == "eval" for child in children):
            mistakes.append(Mistake("<eval> has its place in a home; elements are allowed in <start-plan>", node.place))
    return None if mistakes else xmlelements.element_of(node, mistakes)


def _read(engine: Engine, stream: TextIO, stopped: Callable[[], bool]) -> None:
    for number, line in enumerate(stream, 1):
        if stopped():
            return
        if not line.strip():
            continue
        mistakes: list[Mistake] = []
        node = parsed(line.strip(), "standard input", mistakes, number)
        element = None if node is None else _element(node, mistakes)
        for mistake in mistakes:
            print(mistake, file=sys.stderr)
        if element is not None:
            element.eid = None
            # One line after the other, as if each were typed; but none waits for what takes long.
            engine.post_element(element).wait(_LONGEST)
    engine.wake()
