"""What a provider answers when it cannot do what it was asked, and the exit code that says whose fault it is."""

from __future__ import annotations

#: The user's mistake: options, names, a host that is not ours.
USAGE = 2
#: It could not be done on this host, or did not work.
FAILED = 3


class ProviderError(Exception):
    """A provider could not do it; the text is for the person at the terminal and says what to do next."""

    exit_code = FAILED


class ProviderUsageError(ProviderError):
    """The caller made a mistake, or asked for what must not be touched."""

    exit_code = USAGE
