"""A stream that people or programs read; whatever happens to the reader never happens to the job."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TextIO


class Output:
    """Text to a stream. Where it can't be written any more, it is dropped; nothing here raises.

    That is a reader that went away (``| head -1``), a terminal that was closed, a full disk, or no stream at all, as
    Python has it where the descriptor was closed from the start (``>&-``). The stream's descriptor then leads to
    /dev/null, so that the interpreter's last flush does not fail either. Characters that the stream's encoding lacks
    become question marks.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        #: Whether nobody reads any more.
        self.gone = stream is None
        # Another program on the same terminal may have left it non-blocking; half a line would be an error then.
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(self.fileno(), True)

    def write(self, text: str) -> int:
        """Write ``text``; the number of its characters, as streams have it."""
        with self._lock:
            if self._stream is not None and not self.gone:
                try:
                    self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
                except (OSError, ValueError):
                    self._end()
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with self._lock:
            if self._stream is not None and not self.gone:
                try:
                    self._stream.flush()
                except (OSError, ValueError):
                    self._end()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return is_terminal(self._stream)

    def fileno(self) -> int:
        """The stream's descriptor; OSError where it has none."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def _end(self) -> None:
        self.gone = True
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.dup2(nowhere, self.fileno())
            finally:
                os.close(nowhere)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; a closed one is none."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False
