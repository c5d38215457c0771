"""Ctrl-C and SIGTERM without breaking off in the middle of a step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class DeferredSignals(list[int]):
    """Numbers of the signals received so far; true as soon as there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._deferred = True

    def receive(self, number: int, frame: Any) -> None:
        """Handle a signal.

        Parameters
        ----------
        number : int
            Number of the signal.
        frame : frame
            Stack frame that was interrupted; unused.

        Raises
        ------
        KeyboardInterrupt
            Inside `interruptible`.
        """
        self.append(number)
        if not self._deferred:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise KeyboardInterrupt as soon as a signal arrives inside this block.

        Yields
        ------
        None

        Raises
        ------
        KeyboardInterrupt
            If a signal arrives inside the block or arrived before it.
        """
        if self:
            raise KeyboardInterrupt
        self._deferred = False
        try:
            yield
        finally:
            self._deferred = True


@contextlib.contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Collect SIGINT and SIGTERM instead of obeying them at once, so that a step is always whole.

    Yields
    ------
    DeferredSignals
        Signals received so far. Outside the main thread it stays empty, because only the main
        thread may set signal handlers.

    Examples
    --------
    >>> import signal
    >>> with deferred_signals() as stop:
    ...     signal.raise_signal(signal.SIGINT)
    ...     print(bool(stop))
    True
    """
    received = DeferredSignals()
    try:
        old_handlers = {
            number: signal.signal(number, received.receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # only the main thread may set handlers
        old_handlers = {}
    try:
        yield received
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
