"""The command line and the output that all providers share: one contract, so that anyone can write another provider.

    PROVIDER create|destroy|reboot|renew NAME --uuid UUID [OPTIONS]      PROVIDER list|describe

Standard output is YAML (each value written as JSON, which YAML contains), standard error is for people.
"""

from __future__ import annotations

import json
import os
import re  # json has it anyway
import sys

from kommandir.providers.faults import FAILED, ProviderError, ProviderUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from kommandir.providers.records import Record

    class Provider(Protocol):
        """What a provider does; every method raises ProviderError."""

        name: str
        summary: str
        #: The options of `create` beyond those that all providers have.
        options: tuple[Option, ...]

        def create(self, request: Request) -> Mapping[str, object]:
            """Discover or create a host; its variables."""

        def destroy(self, request: Request) -> None:
            """Remove a host; nothing to do when it is gone."""

        def reboot(self, request: Request) -> Mapping[str, object]:
            """Start a host anew with the same disk, name and keys; its variables."""

        def renew(self, request: Request) -> None:
            """Change when a host expires."""

        def listing(self) -> Sequence[Record]:
            """Everything that bears our tag."""

        def why_not(self) -> str | None:
            """Why this provider cannot work here, or None."""


class Option:
    """An option of a provider: ``kind`` is text, number or switch."""

    __slots__ = ("default", "kind", "meaning", "name")

    def __init__(self, name: str, kind: str, default: object, meaning: str) -> None:
        self.name, self.kind, self.default, self.meaning = name, kind, default, meaning


UUID = Option("uuid", "text", None, "the job that the host belongs to")
EXPIRES = Option("expires", "number", None, "when the lease ends, in seconds since 1970")
PUBLIC_KEY = Option("public-key", "text", None, "the file of the key that may log in")
HOST_NAME = Option("host-name", "text", "", "the name that the host gives itself; default: NAME")
CREATION = (UUID, EXPIRES, PUBLIC_KEY, HOST_NAME)
#: The options of each action, those of the provider aside.
ACTIONS: dict[str, tuple[Option, ...]] = {
    "create": CREATION,
    "destroy": (UUID,),
    "reboot": (UUID,),
    "renew": (UUID, EXPIRES),
    "list": (),
    "describe": (),
}
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
#: An escaped backslash, or a character beyond 16 bits as JSON escapes it.
_PAIR = re.compile(r"(\\\\)|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
#: Longest name: a file name with some room for what we put before it.
_LONGEST = 200


class Request:
    """A command line that was understood: an action, a host's name and options (dashes as underscores)."""

    __slots__ = ("action", "name", "options")

    def __init__(self, action: str, name: str, options: dict[str, object]) -> None:
        self.action, self.name, self.options = action, name, options

    def text(self, option: str) -> str:
        """A text option."""
        return str(self.options[option])

    def number(self, option: str) -> int:
        """A number option."""
        value = self.options[option]
        assert isinstance(value, int)
        return value

    @property
    def uuid(self) -> str:
        """The job that the host belongs to."""
        return self.text("uuid")

    @property
    def host_name(self) -> str:
        """The name that the host shall give itself, as short as Linux wants it."""
        return (self.text("host_name") or self.name).replace("_", "-")[:64].rstrip("-.")


def parse(provider: Provider, arguments: Sequence[str]) -> Request:
    """Understand a command line; raises ProviderUsageError, which says what is wrong with it."""
    action = arguments[0] if arguments else ""
    if action not in ACTIONS:
        raise ProviderUsageError(f"{action or 'no action'}: the actions are {', '.join(ACTIONS)} (see --help)")
    known = (*ACTIONS[action], *(provider.options if action == "create" else ()))
    options, names = _split(arguments[1:], {option.name: option for option in known})
    if not ACTIONS[action]:
        if names:
            raise ProviderUsageError(f"{action} takes no name: {names[0]}")
        return Request(action, "", options)
    if len(names) != 1:
        raise ProviderUsageError(f"{action} takes the name of one host, not {' '.join(names) or 'none'}")
    for option in known:
        options.setdefault(option.name.replace("-", "_"), option.default)
    missing = [f"--{option.name}" for option in known if options[option.name.replace("-", "_")] is None]
    if missing:
        raise ProviderUsageError(f"{action} {names[0]}: {', '.join(missing)} must be given")
    check_word("name", names[0])
    check_word("uuid", str(options["uuid"]))
    return Request(action, names[0], options)


def _split(arguments: Sequence[str], known: Mapping[str, Option]) -> tuple[dict[str, object], list[str]]:
    options: dict[str, object] = {}
    names: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            names.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name not in known:
            raise ProviderUsageError(f"--{name} is unknown here; known: {' '.join('--' + n for n in sorted(known))}")
        if known[name].kind != "switch" and not equals:
            if not rest:
                raise ProviderUsageError(f"--{name} needs a value")
            value = rest.pop(0)
        options[name.replace("-", "_")] = _value(known[name], value)
    return options, names


def _value(option: Option, text: str) -> object:
    if option.kind == "switch":
        if text not in ("", "true", "false"):
            raise ProviderUsageError(f"--{option.name} is true or false, not {text}")
        return text != "false"
    if option.kind == "number":
        try:
            number = int(float(text))
        except (ValueError, OverflowError):
            number = -1
        if number < 0:
            raise ProviderUsageError(f"--{option.name} is a number, not {text}")
        return number
    return text


def check_word(what: str, word: str) -> None:
    """Raise ProviderUsageError unless ``word`` can be part of a file name, a host name and a command line."""
    good = word and len(word) <= _LONGEST and word[0] in _LETTERS and not set(word) - _LETTERS - set("-_.")
    if not good:
        raise ProviderUsageError(
            f"{what} {word!r}: letters, digits, - _ and . only, a letter or digit first, at most {_LONGEST}"
        )


def usage(provider: Provider) -> str:
    """The help of a provider."""
    lines = [
        f"{provider.name}: {provider.summary}",
        "",
        "create NAME   discover or create a host; print its variables as YAML",
        "destroy NAME  remove it; succeeds when it is gone already",
        "reboot NAME   start it anew: same disk, name and keys",
        "renew NAME    change the end of its lease",
        "list          every host of ours, whole or half there",
        "describe      whether this provider works here, and its options",
        "",
        *(f"  --{option.name:14} {option.meaning}" for option in (*CREATION, *provider.options)),
    ]
    return "\n".join(lines)


def as_yaml(value: Mapping[str, object]) -> str:
    """A mapping as YAML, a line a key."""
    return "\n".join(f"{key}: {_scalars(entry)}" for key, entry in value.items())


def _scalars(value: object) -> str:
    """A value as JSON that is YAML too, which knows no pairs of surrogates and forbids DEL."""
    return _PAIR.sub(_joined, json.dumps(value)).replace("\x7f", "\\u007f")


def _joined(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    return f"\\U{0x10000 + ((int(match[2], 16) & 0x3FF) << 10) + (int(match[3], 16) & 0x3FF):08x}"


def as_yaml_list(entries: Sequence[Mapping[str, object]]) -> str:
    """A list of mappings as YAML, a line each."""
    return "\n".join(f"- {_scalars(entry)}" for entry in entries) or "[]"


def _describe(provider: Provider) -> dict[str, object]:
    why = provider.why_not()
    options = {
        option.name: {"kind": option.kind, "default": option.default, "meaning": option.meaning}
        for option in (*CREATION, *provider.options)
    }
    summary = provider.summary
    return {"name": provider.name, "summary": summary, "available": why is None, "why": why, "options": options}


def _perform(provider: Provider, request: Request) -> None:
    if request.action == "create":
        print(as_yaml(provider.create(request)), flush=True)
    elif request.action == "reboot":
        print(as_yaml(provider.reboot(request)), flush=True)
    elif request.action == "destroy":
        provider.destroy(request)
    elif request.action == "renew":
        provider.renew(request)
    elif request.action == "list":
        print(as_yaml_list(provider.listing()), flush=True)
    else:
        print(as_yaml(_describe(provider)), flush=True)


def run(provider: Provider, arguments: Sequence[str]) -> int:
    """Do what a command line says; returns the exit code and has said on standard error what went wrong."""
    # What starts here belongs to a host, and outlives the clean-up of the strays of the job that asked for it.
    os.environ.pop("EXEKUTIR_JOB", None)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(provider))
        return 0
    try:
        _perform(provider, parse(provider, arguments))
    except ProviderError as error:
        print(f"{provider.name}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{provider.name}: {' '.join(arguments[:2])}: {place}{error.strerror or error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            f"{provider.name}: interrupted; destroy {' '.join(arguments[1:2])} removes what is there", file=sys.stderr
        )
        return 130
    return 0
