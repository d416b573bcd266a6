"""Elements, interfaces, adapters, memory, and the decorators of actions."""

from __future__ import annotations

from typing import Any

import pytest

from narval_engine import Element, Engine, ErrorElement, Interface, Plan, Registry, action, adapter
from narval_engine import input as takes
from narval_engine import output as makes
from narval_engine.expressions import compiled
from narval_engine.interfaces import CannotAdaptError
from tests.engine.stage import Stage, matching, when, x


class IModelMail(Interface):
    """``subject``"""


class IUrgentModelMail(IModelMail):
    """``subject`` and ``hours``"""


class IModelNote(Interface):
    """``text``"""


class ModelMail(Element, type="model mail"):
    implements = (IUrgentModelMail,)

    def __init__(self, subject: str) -> None:
        super().__init__(subject=subject, hours=1)


@adapter("model note", IModelNote)
def as_note(element: Element) -> Any:
    return element


@adapter(IModelNote, IModelMail)
class NoteAsModelMail:
    def __init__(self, note: Any) -> None:
        self.subject = note.text.title()


def test_an_element_has_what_it_is_given() -> None:
    element = Element("mail", sender="M. Dupont", type="odd")
    assert (element.type, element.sender, element.eid) == ("mail", "M. Dupont", None)
    assert element.attributes() == {"sender": "M. Dupont", "type": "odd"}
    with pytest.raises(AttributeError, match="element 'mail' has no attribute 'subject'"):
        _ = element.subject
    assert element.copied().attributes() == element.attributes()


def test_an_error_element() -> None:
    error = ErrorElement("it broke", "kind", exit_code=3)
    assert (error.type, error.message, error.exit_code) == ("kind", "it broke", 3)
    assert ErrorElement("it broke").type == "error"
    assert isinstance(error, Element)


def test_a_class_claims_a_type_and_lists_its_interfaces() -> None:
    mail = ModelMail("hi")
    assert (mail.type, mail.subject) == ("model mail", "hi")
    adapted: Any = IModelMail(mail)
    assert adapted is mail
    things: list[Any] = [mail, Element("model mail")]
    assert [isinstance(thing, IModelMail) for thing in things] == [True, False]


def test_interfaces_are_inherited_and_may_be_listed_in_the_old_way() -> None:
    class OldMail(ModelMail):
        __implements__ = IModelNote

    things: list[Any] = [OldMail("hi")]
    assert [isinstance(things[0], each) for each in (IModelMail, IUrgentModelMail, IModelNote)] == [True, True, True]
    adapter("old note", IModelNote, as_note)
    note: Any = IModelNote(Element("old note", text="t"))
    assert note.text == "t"


def test_adapters_make_chains() -> None:
    note = Element("model note", text="over there")
    assert IModelMail(note).subject == "Over There"
    with pytest.raises(CannotAdaptError, match="other does not adapt to IModelMail"):
        IModelMail(Element("other"))
    with pytest.raises(CannotAdaptError):
        IUrgentModelMail(note)


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("IModelMail(elmt).subject == 'Over There'", "model note"),
        ("IUrgentModelMail(elmt).hours < 2", "model mail"),
        ("isinstance(elmt, IModelMail)", "model mail"),
        ("isinstance(elmt, ModelMail) and elmt.subject.startswith('h')", "model mail"),
        ("len(elmt.text) > 3 and 'there' in elmt.text", "model note"),
    ],
)
def test_expressions_know_interfaces_and_classes(make_stage: Any, match: str, found: str) -> None:
    s: Stage = make_stage()
    s.memory(ModelMail("hi"), Element("model note", text="over there"), Element("other", subject="hi"))
    seen: list[str] = []
    s.registry.register("a.any", lambda given: seen.append(given["i"].type), [takes("i", match)], inline=True)
    s.recipe("R", "any")
    assert s.run("R").state == "done"
    assert seen == [found]


def test_decorators_in_any_order() -> None:
    @makes("o", type="y")
    @action("some.name", inline=True)
    @takes("first", type="x")
    @takes("second", "elmt.type == 'z'", optional=True)
    def function(_inputs: Any) -> None:
        """Does something."""

    made = Registry().add(function)
    assert (made.name, made.options.inline) == ("some.name", True)
    assert [entry.id for entry in made.prototype.inputs] == ["first", "second"]
    assert made.prototype.inputs[0].match == ("elmt.type == 'x'",)
    assert made.descriptions == {"en": "Does something."}

    @action
    def bare(_inputs: Any) -> None: ...

    assert Registry().add(bare, group="mine").name == "mine.bare"


def test_decorators_in_other_words() -> None:
    @action(name="b", group="a", inputs=[takes("i", match="elmt.v == 1", use="yes")], outputs=[makes(id="o", type="y")])
    def function(_inputs: Any) -> None: ...

    made = Registry().add(function)
    assert (made.name, made.prototype.inputs[0].use, made.prototype.inputs[0].match) == ("a.b", True, ("elmt.v == 1",))
    assert made.prototype.outputs[0].match == ("elmt.type == 'y'",)
    with pytest.raises(ValueError, match="'yes' or 'no'"):
        takes("i", use="perhaps")


def test_a_class_says_its_type_in_its_body() -> None:
    class BodyMail(Element):
        type = "body mail"

        def __init__(self, subject: str) -> None:
            self.subject = subject

    mail = BodyMail("hi")
    assert (mail.type, mail.attributes()) == ("body mail", {"subject": "hi"})


def test_memory_can_be_looked_at_and_observed() -> None:
    told: list[tuple[str, str]] = []
    with Engine() as engine:
        stop = engine.memory.observe(lambda what, element: told.append((what, element.type)))
        element = Element("x")
        engine.add_element(element)
        assert engine.memory.get(1) is element
        assert element in engine.memory
        assert len(engine.memory) == 1
        engine.remove_element(element)
        stop()
        engine.add_element(Element("y"))
    assert told == [("added", "x"), ("removed", "x")]
    assert element.eid == 1


def test_recipes_are_elements(make_stage: Any) -> None:
    s: Stage = make_stage()
    s.recipe("P", "noop")
    s.recipe("R", "S=noop end=noop", ("S -> end", matching("elmt.type == 'recipe' and elmt.name == 'P'")))
    s.recipe("A", "S=noop end=noop", ("S -> end", matching("elmt.name == 'P'")))
    assert s.run("R").state == "done"
    assert s.run("A").waiting


def test_plans_are_elements(make_stage: Any) -> None:
    s: Stage = make_stage()
    s.recipe("P", "noop")
    s.recipe("W", "S=noop end=noop", ("S -> end", when("plan")))
    plan = s.run("W")
    assert isinstance(plan, Plan)
    assert plan.state == "done"
    assert plan in s.engine.memory


@pytest.mark.parametrize(
    "match",
    [
        "elmt.context.elements",
        "elmt.program.steps[0].action.function({})",
        "elmt.context.discard(elmt)",
        "elmt.steps.items()",
    ],
)
def test_plans_do_not_lead_into_the_engine(make_stage: Any, match: str) -> None:
    s: Stage = make_stage()
    s.recipe("P", "noop")
    plan = s.run("P")
    assert not compiled(match).matches(plan)
    assert compiled("elmt.state == 'done' and elmt.name == 'c.P'").matches(plan)


def test_an_action_may_change_what_it_takes(make_stage: Any) -> None:
    s: Stage = make_stage()

    def change(given: Any) -> None:
        given["i"].v = 2

    s.add("change", [takes("i", type="x")], [], change)
    s.recipe("R", "change n=noop", "change -> n")
    s.recipe("W", "S=noop end=noop", ("S -> end", {"conditions": (when_v_is_2(),)}))
    s.memory(x(1))
    waiting = s.run("W")
    assert waiting.waiting
    s.run("R")
    assert waiting.state == "done"


def when_v_is_2() -> Any:
    from narval_engine import Condition

    return Condition(("elmt.type == 'x'", "elmt.v == 2"))
