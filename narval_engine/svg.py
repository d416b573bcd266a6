"""Drawings as SVG that needs nothing else: boxes with states, links with what they wait for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from narval_engine import layout
from narval_engine.drawings import Drawing, said
from narval_engine.layout import WIDE, Layout, Link, Node
from narval_engine.recipes import Step
from narval_engine.xmltext import escape

_FILL = {
    "done": "#d4ecd4",
    "history": "#d4ecd4",
    "running": "#fff0b8",
    "ready": "#fff0b8",
    "error": "#f6cfcb",
    "failed": "#f6cfcb",
    "killed": "#f6cfcb",
    "impossible": "#ececec",
}
#: Colours of links; each has an arrowhead of its own.
_LINKS = {"plain": "#5f6b7a", "error": "#b3402f", "fired": "#2f7d3b", "faint": "#c3c8ce"}
_LINE, _PAD, _SPACE, _MARGIN, _WIDEST = 16, 8, 46, 24, 1400
#: How far links of one box are apart, and characters of a label.
_PORT, _LABEL = 22, 30


def as_svg(drawings: Sequence[Drawing]) -> str:
    """The drawings beside and below each other."""
    parts: list[str] = []
    left = top = width = below = 0
    for drawing in drawings:
        picture = _Picture(drawing)
        if left and left + picture.width > _WIDEST:
            left, top = 0, below
        parts += [f'<g transform="translate({left} {top})">', *picture.parts(), "</g>"]
        left += picture.width
        width, below = max(width, left), max(below, top + picture.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{below}" viewBox="0 0 {width} {below}" '
        f'font-family="system-ui, sans-serif" font-size="12" style="background:#ffffff">'
    )
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{colour}"/></marker>'
        for name, colour in _LINKS.items()
    )
    return "\n".join([head, f"<defs>{heads}</defs>", *parts, "</svg>"])


class _Picture:
    """One drawing, at its own origin."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.steps = {step.id: step for step in drawing.recipe.steps}
        self.layout: Layout = layout.of(drawing.recipe)
        noted = any(_notes(step) for step in drawing.recipe.steps)
        self.high = 2 * _PAD + _LINE * (3 if noted else 2) - 4
        self.tops: list[float] = []
        top = _MARGIN + 24.0
        for row in self.layout.rows:
            self.tops.append(top)
            top += self._height(row) + _SPACE
        self.height = int(top - _SPACE + _MARGIN)
        title = 8 * len(drawing.title)
        self.width = int(max(self.layout.width, title) + 2 * _MARGIN)

    def parts(self) -> Iterator[str]:
        """All that is to be drawn: links first, so that boxes and labels lie above them."""
        yield f'<text x="{_MARGIN}" y="{_MARGIN + 4}" font-weight="bold">{escape(self.drawing.title)}</text>'
        labels: list[str] = []
        for link in self.layout.links:
            yield self._link(link, labels)
        for row in self.layout.rows:
            for node in row:
                if node.step:
                    yield self._box(node, self.steps[node.step])
                elif node.joint:
                    yield self._joint(node)
        yield from labels

    def _height(self, row: Sequence[Node]) -> float:
        return self.high if any(node.step for node in row) else 6.0

    def _span(self, node: Node) -> tuple[float, float]:
        """Top and bottom of a node."""
        top = self.tops[node.row]
        high = self._height(self.layout.rows[node.row])
        if node.step or not node.joint:
            return top, top + high
        return top + high / 2 - 3, top + high / 2 + 3

    def _box(self, node: Node, step: Step) -> str:
        state = self.drawing.steps.get(step.id, "")
        left, top = _MARGIN + node.x - WIDE / 2, self._span(node)[0]
        lines = [
            _text(left + _PAD, top + _PAD + 10, step.id, 16 if state else 23, 'font-weight="600"'),
            _text(left + _PAD, top + _PAD + 10 + _LINE, _target(step), 27, 'fill="#44505c"'),
        ]
        notes = _notes(step)
        if notes:
            lines.append(_text(left + _PAD, top + _PAD + 10 + 2 * _LINE, notes, 33, 'fill="#6b7681" font-size="11"'))
        if state:
            where = left + WIDE - _PAD
            lines.append(_text(where, top + _PAD + 10, state, 12, 'text-anchor="end" fill="#44505c" font-size="11"'))
        dash = ' stroke-dasharray="3 3"' if state in {"impossible", "todo"} else ""
        return (
            f'<g><rect x="{left:.0f}" y="{top:.0f}" width="{WIDE}" height="{self.high}" rx="6" stroke="#44505c"'
            f' fill="{_FILL.get(state, "#ffffff")}"{dash}/>{"".join(lines)}'
            f"<title>{escape(f'{step.id}: {step.target}' + (f', {state}' if state else ''))}</title></g>"
        )

    def _joint(self, node: Node) -> str:
        top, bottom = self._span(node)
        colour = _LINKS["fired" if self._state(node) == "fired" else "plain"]
        return (
            f'<rect x="{_MARGIN + node.x - 14:.0f}" y="{top:.0f}" width="28" height="{bottom - top:.0f}" rx="3" '
            f'fill="{colour}"><title>{escape(node.joint.id if node.joint else "")}</title></rect>'
        )

    def _state(self, node: Node) -> str:
        return self.drawing.transitions.get(node.joint.id, "") if node.joint else ""

    def _kind(self, link: Link) -> str:
        state = self.drawing.transitions.get(link.transition.id, "")
        if state == "fired":
            return "fired"
        return "faint" if state == "impossible" else "error" if link.on_error else "plain"

    def _link(self, link: Link, labels: list[str]) -> str:
        kind = self._kind(link)
        points = list(self._points(link))
        (x, y), *rest = points
        way = [f"M{x:.0f} {y:.0f}"]
        for number, (to_x, to_y) in enumerate(rest):
            middle = (y + to_y) / 2
            straight = number % 2 == 1 or abs(x - to_x) < 1
            way.append(f"L{to_x:.0f} {to_y:.0f}" if straight else f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} "
                       f"{to_x:.0f} {to_y:.0f}")  # fmt: skip
            x, y = to_x, to_y
        label = self._label(link)
        if label:
            x, y = self._place_of_label(link, points)
            look = f'font-size="10.5" fill="{_LINKS[kind]}" stroke="#ffffff" stroke-width="3" paint-order="stroke"'
            labels.append(f'<text x="{x:.0f}" y="{y:.0f}" {look}>{escape(_short(label, _LABEL))}</text>')
        dash = ' stroke-dasharray="5 4"' if link.on_error else ""
        arrow = f' marker-end="url(#{kind})"' if link.way[-1].step else ""
        wide = ' stroke-width="2"' if kind == "fired" else ""
        what = escape(f"{link.transition.id} {label or said(self.drawing, link.transition)}".strip())
        look = f'fill="none" stroke="{_LINKS[kind]}"{wide}{dash}{arrow}'
        return f'<path d="{" ".join(way)}" {look}><title>{what}</title></path>'

    def _place_of_label(self, link: Link, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Beside the joint that a link leaves, or near its beginning."""
        first = link.way[0]
        if first.joint:
            return _MARGIN + first.x + 20, self._span(first)[1] + 1
        (x, y), (to_x, to_y) = points[:2]
        return x + (to_x - x) * 0.4 + 5, y + (to_y - y) * 0.4 + 4 + self._shift(link)

    def _label(self, link: Link) -> str:
        """What the link waits for; that of a joint stands at what leads from it."""
        if link.way[-1].joint:
            return "on error" if link.on_error else ""
        first = next(each for each in self.layout.links if each.transition is link.transition and each.way[-1].step)
        told = said(self.drawing, link.transition, states=False) if link is first else ""
        return ", ".join(filter(None, ["on error" if link.on_error else "", told]))

    def _points(self, link: Link) -> Iterator[tuple[float, float]]:
        """Where the line begins, enters and leaves each bend, and ends."""
        first, *bends, last = link.way
        yield _MARGIN + first.x + self._port(link, first, below=True), self._span(first)[1]
        for bend in bends:
            top, bottom = self._span(bend)
            yield _MARGIN + bend.x, top
            yield _MARGIN + bend.x, bottom
        yield _MARGIN + last.x + self._port(link, last, below=False), self._span(last)[0]

    def _beside(self, link: Link, node: Node, *, below: bool) -> list[Link]:
        """The links that leave (or enter) a node there, from left to right."""
        if below:
            found = [each for each in self.layout.links if each.way[0] is node]
            return sorted(found, key=lambda each: (each.way[1].x, each.on_error))
        found = [each for each in self.layout.links if each.way[-1] is node]
        return sorted(found, key=lambda each: (each.way[-2].x, each.on_error))

    def _port(self, link: Link, node: Node, *, below: bool) -> float:
        beside = self._beside(link, node, below=below)
        between = min(_PORT if node.step else 8, (WIDE - 40) / max(1, len(beside)))
        return (beside.index(link) - (len(beside) - 1) / 2) * between

    def _shift(self, link: Link) -> float:
        """Labels of links that leave one box stand below each other."""
        beside = [each for each in self._beside(link, link.way[0], below=True) if self._label(each)]
        return (beside.index(link) - (len(beside) - 1) / 2) * 11


def _target(step: Step) -> str:
    return f"{step.target} (recipe)" if step.type == "recipe" else step.target


def _notes(step: Step) -> str:
    """What else is to be known of a step."""
    repeated = [f"for each {step.foreach}"] if step.foreach else []
    return ", ".join([*repeated, *(f"{name}: {value}" for name, value in step.notes)])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(x: float, y: float, text: str, most: int, look: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {look}>{escape(_short(text, most))}</text>'
