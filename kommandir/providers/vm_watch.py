"""Tells a virtual machine that stands still from one that is slow, and starts one again that did.

A kernel under a KVM that QEMU emulates crashes or hangs now and then; on any host a machine may. Waiting for one that
hangs costs the whole deadline, so what it writes to its console and its disk is looked at while it boots or wakes.
"""

from __future__ import annotations

import contextlib
import time

from kommandir.providers import vm_command, vm_control, vm_process
from kommandir.providers.faults import ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds without a sign of a machine that has something to do, and the same under a KVM that QEMU emulates.
_STILL, _STILL_EMULATED = 120.0, 300.0
#: How often a new machine is started that crashes or stands still.
_STARTS = 3


class StillError(ProviderError):
    """A machine stands still: it hangs, or its process does."""


def patience(accelerator: str) -> float:
    """Seconds after which a machine that has something to do, and gives no sign of it, is taken for hung."""
    if accelerator == "kvm" and vm_command.translated():
        return _STILL_EMULATED
    return vm_command.stretched(_STILL)


@contextlib.contextmanager
def watched(agent: vm_control.Agent, control: vm_control.Control, patience: float) -> Iterator[None]:
    """Waits for the agent end by StillError once the machine gave no sign for ``patience`` seconds.

    An EndedError says what was last on the machine's console.
    """
    agent.watch = Watch(control, patience)
    try:
        yield
    except vm_control.EndedError as error:
        said = control.console(time.monotonic() + patience)
        raise vm_control.EndedError(f"{error}; its console: {said}" if said else str(error)) from None
    finally:
        agent.watch = None


class Watch:
    """Called again and again while a machine has something to do; raises StillError once it did nothing for long."""

    def __init__(self, control: vm_control.Control, patience: float) -> None:
        self._control, self._patience = control, patience
        self._seen = (-1, -1)
        self._since = time.monotonic()

    def __call__(self) -> None:
        """Look for signs of life. Raises StillError, and EndedError where the machine has ended."""
        try:
            seen = self._control.heard(time.monotonic() + self._patience), self._moved()
        except vm_control.EndedError:
            raise
        except ProviderError as error:
            raise StillError(str(error)) from None
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        elif time.monotonic() - self._since >= self._patience:
            said = self._control.console(time.monotonic() + self._patience)
            still = f"the machine stands still: it wrote nothing to its console and disk for {self._patience:g} s"
            raise StillError(f"{still}; its console: {said}" if said else still)

    def _moved(self) -> int:
        """How much its disks have read and written."""
        told = self._control.execute("query-blockstats", time.monotonic() + self._patience)
        assert isinstance(told, list)
        return sum(int(disk["stats"][f"{way}_operations"]) for disk in told for way in ("rd", "wr", "flush"))


def persistently(start: Callable[[], None], again: Callable[[], None], directory: str) -> None:
    """Start a new machine, and start it again where it crashes or stands still; ``again`` removes what it left.

    Raises ProviderError, with what QEMU said (in ``directory``), where QEMU itself refuses, or at the last try.
    """
    from kommandir import image

    for number in range(1, _STARTS + 1):
        try:
            start()
        except (vm_control.EndedError, StillError) as error:
            said = vm_process.words(directory)
            refused = bool(said) and isinstance(error, vm_control.EndedError)
            if refused or number == _STARTS:
                told = f"{error}; QEMU said: {said}" if said else str(error)
                raise ProviderError(f"started {number} times, the last time: {told}" if number > 1 else told) from None
            how = "stands still" if isinstance(error, StillError) else "ended by itself, as after a crash of its kernel"
            image.say(f"the new machine {how}; starting it again")
            again()
        else:
            return
