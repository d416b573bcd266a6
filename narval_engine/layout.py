"""Where the parts of a recipe stand in a picture: rows from start to end, few crossings, nothing behind a box.

A transition with several in-steps or out-steps is a part of its own, a joint. Links that pass rows go through bends, so
that they find their way between boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from narval_engine.recipes import Recipe, Transition

#: Width and distance of boxes, of bends and joints, in pixels.
WIDE, GAP, NARROW = 192, 34, 26
_SWEEPS, _STEPS = 12, 80
#: Nodes of a row from which on it stays as it is: to look for the best order would take too long.
_MANY = 150


@dataclass(slots=True, eq=False)
class Node:
    """A box, a joint or a bend. ``x`` is its middle."""

    row: int
    step: str = ""
    joint: Transition | None = None
    x: float = 0.0
    above: list[Node] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)

    @property
    def width(self) -> int:
        """How much room it takes."""
        return WIDE if self.step else NARROW


@dataclass(slots=True, eq=False)
class Link:
    """A line of a transition from a box or joint to another one, through bends."""

    transition: Transition
    way: list[Node]
    #: Whether it leaves a step that failed.
    on_error: bool = False


@dataclass(slots=True)
class Layout:
    """The rows of a picture, and the links between them."""

    rows: list[list[Node]]
    links: list[Link]
    width: float = 0.0


_Pair = tuple[Transition, Node, Node, bool]


def of(recipe: Recipe) -> Layout:
    """The layout of a recipe, whatever is wrong with it."""
    steps = {step.id: Node(0, step=step.id) for step in recipe.steps}
    pairs = list(_pairs(recipe, steps))
    _ranked(
        [*steps.values(), *{id(node): node for _, *ends, _ in pairs for node in ends if node.joint}.values()], pairs
    )
    links = [Link(transition, _way(first, last), on_error) for transition, first, last, on_error in pairs]
    rows: dict[int, list[Node]] = {}
    for node in {id(node): node for node in (*steps.values(), *(each for link in links for each in link.way))}.values():
        rows.setdefault(node.row, []).append(node)
    layout = Layout([rows[row] for row in sorted(rows)], links)
    for number, each in enumerate(layout.rows):
        for node in each:
            node.row = number
    for link in links:
        for upper, lower in zip(link.way, link.way[1:], strict=False):
            upper.below.append(lower)
            lower.above.append(upper)
    _ordered(layout.rows)
    _placed(layout)
    return layout


def _pairs(recipe: Recipe, steps: dict[str, Node]) -> Iterator[_Pair]:
    """What is linked with what; links of steps that do not exist are left out."""
    for transition in recipe.transitions:
        before = [(steps[step], flagged) for step, flagged in transition.links() if step in steps]
        after = [steps[step] for step in transition.outputs if step in steps]
        if len(before) * len(after) == 1:
            yield transition, before[0][0], after[0], before[0][1]
        elif before and after:
            joint = Node(0, joint=transition)
            yield from ((transition, node, joint, flagged) for node, flagged in before)
            yield from ((transition, joint, node, False) for node in after)


def _ranked(nodes: Sequence[Node], pairs: Sequence[_Pair]) -> None:
    """Rows by the longest way from the start; in a recipe with a cycle, which is a mistake, it is cut somewhere."""
    for _ in nodes:
        changed = False
        for _, upper, lower, _ in pairs:
            if lower.row <= upper.row < len(nodes) and lower is not upper:
                lower.row = upper.row + 1
                changed = True
        if not changed:
            return


def _way(first: Node, last: Node) -> list[Node]:
    between = range(first.row + 1, last.row)
    return [first, *(Node(row) for row in between), last]


def _ordered(rows: list[list[Node]]) -> None:
    """Order each row by the middles of its neighbours, down and up; the order with the fewest crossings is kept."""
    if max(map(len, rows), default=0) > _MANY:
        return
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            places = {id(node): float(place) for other in rows for place, node in enumerate(other)}
            middles = {id(node): _middle(node.above if down else node.below, places, places[id(node)]) for node in row}
            row.sort(key=lambda node: middles[id(node)])
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _middle(neighbours: Sequence[Node], places: dict[int, float], otherwise: float) -> float:
    return sum(places[id(node)] for node in neighbours) / len(neighbours) if neighbours else otherwise


def _crossings(rows: list[list[Node]]) -> int:
    found = 0
    for row in rows:
        places = {id(node): place for other in rows for place, node in enumerate(other)}
        ends = [(place, places[id(below)]) for place, node in enumerate(row) for below in node.below]
        found += sum(1 for a, b in ends for c, d in ends if a < c and b > d)
    return found


def _placed(layout: Layout) -> None:
    """Bring each node near the middle of its neighbours, and keep the distances in each row."""
    for row in layout.rows:
        at = 0.0
        for before, node in zip([None, *row], row, strict=False):
            at += _distance(before, node) if before else 0.0
            node.x = at
        for node in row:
            node.x -= at / 2
    for sweep in range(_STEPS):
        rows = layout.rows if sweep % 2 == 0 else reversed(layout.rows)
        for row in rows:
            near = [_wanted(node) for node in row]
            for node, x in zip(row, _apart(row, near), strict=True):
                node.x = x
    nodes = [node for row in layout.rows for node in row]
    left = min((node.x - node.width / 2 for node in nodes), default=0.0)
    for node in nodes:
        node.x -= left
    layout.width = max((node.x + node.width / 2 for node in nodes), default=0.0)


def _wanted(node: Node) -> float:
    """The middle of its neighbours; between bends they weigh more, so that long links are straight."""
    weights = [(other.x, 1 if other.step or node.step else 4) for other in (*node.above, *node.below)]
    whole = sum(weight for _, weight in weights)
    return sum(x * weight for x, weight in weights) / whole if whole else node.x


def _distance(left: Node, right: Node) -> float:
    return (left.width + right.width) / 2 + (GAP if left.step and right.step else GAP / 2)


def _apart(row: Sequence[Node], wanted: Sequence[float]) -> list[float]:
    """The places nearest to those wanted that keep order and distances: neighbours that are too near become a block."""
    offsets, at = [], 0.0
    for number, node in enumerate(row):
        at += _distance(row[number - 1], node) if number else 0.0
        offsets.append(at)
    blocks: list[tuple[float, int]] = []  # the sum of what its nodes want, and how many they are
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            more, others = blocks.pop()
            total, count = total + more, count + others
        blocks.append((total, count))
    starts = [total / count for total, count in blocks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
