"""What a provider answers when it cannot do what it was asked, and the exit code that says whose fault it is."""

from __future__ import annotations

#: The user's mistake: options, names, a host that is not ours.
USAGE = 2
#: It could not be done on this host, or did not work.
FAILED = 3
#: This provider never does that; whoever asked has to do it himself.
UNABLE = 4


class ProviderError(Exception):
    """A provider could not do it; the text is for the person at the terminal and says what to do next."""

    exit_code = FAILED


class ProviderUsageError(ProviderError):
    """The caller made a mistake, or asked for what must not be touched."""

    exit_code = USAGE


class UnableError(ProviderError):
    """This provider never does what was asked for."""

    exit_code = UNABLE
