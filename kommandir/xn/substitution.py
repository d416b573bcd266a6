"""``$VAR`` and ``${VAR}`` in texts of ``job.xn``, replaced from the environment and earlier variables."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: A backslash takes the meaning of what follows it; a name is as long as it can be.
_TOKEN = re.compile(r"\\.|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)", re.DOTALL)


def substituted(text: str, values: Mapping[str, str]) -> str:
    r"""``text`` with the value of every known variable in place of its name, once: values are not looked into.

    What is unknown stays as it is, so that a shell script keeps variables of its own; so does ``\\$VAR``.
    """

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2] or "", match[0])

    return _TOKEN.sub(value, text)
