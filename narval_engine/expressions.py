"""Match expressions (manual II.3): Python on ``elmt``, compiled once, that can look at elements and do nothing else.

Only the syntax in ``_ALLOWED`` passes, names are the parameters, the builtins of ``BUILTINS``, element classes and
interfaces, and every attribute of anything but ``elmt`` itself goes through ``sandbox.attribute``. What an expression
can cost is bounded: its length, its loops, and the operations that multiply.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from narval_engine import sandbox
from narval_engine.elements import NAMES

if TYPE_CHECKING:
    import logging

MAX_LENGTH = 2000
_MAX_LOOPS = 2
_MAX_DEPTH = 60

_ALLOWED: tuple[type[ast.AST], ...] = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Invert),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn),
    *(ast.IfExp, ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Store, ast.Constant),
    *(ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.Set, ast.Dict),
    *(ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.comprehension),
)
ALLOWED_HERE = (
    "comparisons, and/or/not, arithmetic without ** and <<, subscripts, comprehensions (two loops at most), elmt, the "
    f"inputs assigned before, {', '.join(sorted(sandbox.BUILTINS))}, element classes and interfaces"
)


class ExpressionError(ValueError):
    """The text is no match expression; the message says what is wrong with it and what is allowed."""


class Facts(NamedTuple):
    """What must hold for any element that an expression matches; it is what memory is indexed by."""

    types: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()


def _joined(parts: Sequence[Facts]) -> Facts:
    return Facts(
        tuple(name for part in parts for name in part.types),
        tuple(name for part in parts for name in part.classes),
        tuple(pair for part in parts for pair in part.attributes),
    )


class Expression:
    """A compiled match expression.

    ``matches(element, inputs)`` never raises: an expression that raises does not match. ``names`` are the inputs that
    it looks at besides the element; ``facts`` what it surely asks of the element; ``exact`` that it asks nothing else.
    """

    __slots__ = ("_function", "exact", "facts", "names", "source")

    def __init__(self, source: str, names: tuple[str, ...], facts: Facts, exact: bool, code: Any) -> None:
        self.source = source
        self.names = names
        self.facts = facts
        self.exact = exact
        self._function: Callable[..., Any] = eval(code, _GLOBALS)  # noqa: S307 -- only what the allow-list let through

    def value(self, element: Any, inputs: dict[str, Any]) -> Any:
        """What the expression is for this element; raises whatever it raises."""
        return self._function(element, *[inputs[name] for name in self.names])

    def matches(self, element: Any, inputs: dict[str, Any] | None = None) -> bool:
        """Whether it is true of the element."""
        try:
            if self.names:
                given = inputs or {}
                return bool(self._function(element, *[given[name] for name in self.names]))
            return bool(self._function(element))
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a match raises, it is not a match
            _log().debug("%s on %r: %r", self.source, element, error)
            return False


@cache
def _log() -> logging.Logger:
    import logging

    return logging.getLogger(__name__)


class _Globals(dict[str, Any]):
    """Looks names up among the element classes and interfaces of the moment, so that late registration works."""

    def __missing__(self, name: str) -> Any:
        return NAMES[name]


_GLOBALS = _Globals({"__builtins__": {}, **sandbox.BUILTINS, **sandbox.GUARDS})


def compiled(source: str, parameters: Sequence[str] = (), own: str | None = None) -> Expression:
    """The expression of this text; raises ExpressionError.

    ``parameters`` are the names of inputs assigned before; ``own`` another name for ``elmt`` (the input's own id).
    """
    # An input may be called elmt; in an expression that is the element at hand.
    return _compiled(source.strip(), tuple(name for name in parameters if name != "elmt"), own)


@lru_cache(maxsize=4096)
def _compiled(source: str, parameters: tuple[str, ...], own: str | None) -> Expression:
    tree = _parsed(source)
    if own is not None and own != "elmt":
        tree = ast.fix_missing_locations(_Rename(own).visit(tree))
    checker = _Checker(source, set(parameters))
    checker.visit(tree)
    facts, exact = _facts(tree.body)
    names = tuple(name for name in parameters if name in checker.used)
    guarded: ast.expr = _Guard().visit(tree).body
    if checker.loops:
        guarded = _budgeted(guarded)
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg("elmt"), *map(ast.arg, names)], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, guarded)))
    try:
        with warnings.catch_warnings():
            # Python warns of what cannot be meant well; here it simply does not match.
            warnings.simplefilter("ignore", SyntaxWarning)
            code = compile(function, f"<match {source}>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"cannot be compiled: {error}") from error
    return Expression(source, names, facts, exact, code)


def _parsed(source: str) -> ast.Expression:
    if not source:
        raise ExpressionError("is empty; a Python expression on elmt is wanted")
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = _tree(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"is no Python expression: {getattr(error, 'msg', None) or error}") from error
    if _depth(tree) > _MAX_DEPTH:
        raise ExpressionError(f"is nested deeper than {_MAX_DEPTH}")
    return tree


def _tree(source: str) -> ast.Expression:
    try:
        return ast.parse(source, mode="eval")
    except SyntaxError:
        joined = " ".join(source.splitlines())
        if joined == source:
            raise
        # The lines of a match are those of XML or YAML, not of Python.
        return ast.parse(joined, mode="eval")


def _depth(tree: ast.AST) -> int:
    deepest = 0
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


class _Rename(ast.NodeTransformer):
    """Makes the input's own id another name of ``elmt``."""

    def __init__(self, own: str) -> None:
        self._own = own

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name("elmt", node.ctx), node) if node.id == self._own else node


class _Checker(ast.NodeVisitor):
    """Raises ExpressionError for whatever is not on the allow-list; collects the parameters that are used."""

    def __init__(self, source: str, parameters: set[str]) -> None:
        self._source = source
        self._parameters = parameters
        self._bound: set[str] = set()
        self.loops = 0
        self.used: set[str] = set()

    def refuse(self, what: str) -> ExpressionError:
        return ExpressionError(f"{what} is not allowed in a match expression; allowed are {ALLOWED_HERE}")

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _ALLOWED):
            raise self.refuse(type(node).__name__)
        super().generic_visit(node)

    def _comprehension(self, node: ast.AST) -> None:
        # Targets are bound before the part that names them, although they stand after it in the tree.
        generators: list[ast.comprehension] = getattr(node, "generators", [])
        self.loops += len(generators)
        if self.loops > _MAX_LOOPS:
            raise self.refuse(f"more than {_MAX_LOOPS} loops")
        for generator in generators:
            if generator.is_async:
                raise self.refuse("async")
            self._bound |= self._targets(generator.target)
        self.generic_visit(node)

    def _targets(self, target: ast.expr) -> set[str]:
        # elmt is not guarded, so nothing else may ever bear its name.
        names = [part for part in ast.walk(target) if not isinstance(part, ast.Tuple | ast.List | ast.expr_context)]
        if not all(isinstance(name, ast.Name) and name.id != "elmt" for name in names):
            raise self.refuse("that loop variable")
        return {name.id for name in names if isinstance(name, ast.Name)}

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_DictComp = _comprehension

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        if name.startswith("_"):
            raise self.refuse(f"the name {name!r}")
        if name in self._parameters:
            self.used.add(name)
        elif name not in self._bound and name != "elmt" and name not in sandbox.BUILTINS and name not in NAMES:
            raise self.refuse(f"the name {name!r}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if sandbox.forbidden(node.attr):
            raise self.refuse(f"the attribute {node.attr!r}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name | ast.Attribute):
            raise self.refuse("calling that")
        if any(keyword.arg is None or keyword.arg.startswith("_") for keyword in node.keywords):
            raise self.refuse("that keyword")
        match node:
            case ast.Call(ast.Name(id="getattr" | "hasattr"), [_, ast.Constant(str(name)), *_]) if sandbox.forbidden(
                name
            ):
                raise self.refuse(f"the attribute {name!r}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str | int | float | bytes | NoneType):
            raise self.refuse(repr(node.value))


def _budgeted(body: ast.expr) -> ast.expr:
    """The expression with a budget of its own for each evaluation, that its loops use up together."""
    budget = ast.arguments(posonlyargs=[], args=[ast.arg("_budget")], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Call(ast.Lambda(budget, body), [ast.Call(ast.Name("_new_budget", ast.Load()), [], [])], [])


def _guarded(owner: ast.expr, name: str) -> ast.Call:
    return ast.Call(ast.Name("_attribute", ast.Load()), [owner, ast.Constant(name)], [])


class _Guard(ast.NodeTransformer):
    """Leads attributes and the operations that can grow without bound through the guards of the sandbox."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "elmt":
            return node
        return _guarded(self.visit(node.value), node.attr)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Attribute):
            # What is called is looked at more closely than what is compared.
            function = _guarded(self.visit(function.value), function.attr)
        given = [self.visit(each) for each in node.args]
        keywords = [ast.keyword(each.arg, self.visit(each.value)) for each in node.keywords]
        return ast.Call(function, given, keywords)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        over = [self.visit(node.iter), ast.Name("_budget", ast.Load())]
        each = ast.Call(ast.Name("_each", ast.Load()), over, [])
        return ast.comprehension(node.target, each, [self.visit(test) for test in node.ifs], 0)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        guard = {ast.Mult: "_times", ast.Mod: "_modulo"}.get(type(node.op))
        left, right = self.visit(node.left), self.visit(node.right)
        if guard is None:
            return ast.BinOp(left, node.op, right)
        return ast.Call(ast.Name(guard, ast.Load()), [left, right], [])


def _facts(node: ast.expr) -> tuple[Facts, bool]:
    """What must hold for the expression to be true, and whether that is all of it."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        parts = [_facts(value) for value in node.values]
        return _joined([part for part, _exact in parts]), all(exact for _part, exact in parts)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        return _compared(node.left, node.comparators[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        match node.args:
            case [ast.Name(id="elmt"), ast.Name(id=name)] if name in NAMES:
                return Facts(classes=(name,)), True
    return _adapted(node), False


def _compared(left: ast.expr, right: ast.expr) -> tuple[Facts, bool]:
    match (left, right):
        case (ast.Attribute(ast.Name(id="elmt"), name), ast.Constant(value)):
            pass
        case (ast.Constant(value), ast.Attribute(ast.Name(id="elmt"), name)):
            pass
        case _:
            return _joined([_adapted(left), _adapted(right)]), False
    if name == "type":
        return (Facts(types=(value,)), True) if isinstance(value, str) else (Facts(), False)
    if name in sandbox.ELEMENT_FIELDS:
        return Facts(), False
    return Facts(attributes=((name, value),)), False


def _adapted(node: ast.expr) -> Facts:
    """``IFace(elmt)`` at a place that is always evaluated: an element that does not adapt raises, and cannot match."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Compare | ast.Call | ast.UnaryOp):
        if isinstance(node, ast.Call):
            match node:
                case ast.Call(ast.Name(id=name), [ast.Name(id="elmt")]) if name in NAMES and name not in ("Element",):
                    return Facts(classes=(name,)) if sandbox.is_interface(NAMES[name]) else Facts()
            node = node.func
        elif isinstance(node, ast.Compare):
            node = node.left
        else:
            node = node.operand if isinstance(node, ast.UnaryOp) else node.value
    return Facts()
