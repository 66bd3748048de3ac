"""Saves in the watched folders."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from steadfaas.cli.dev.snapshot import Tree
from steadfaas.cli.exits import CommandError, ExitCode

# Editors and `git checkout` write in bursts: a save is over when nothing came for so long …
_QUIET_MILLISECONDS: Final = 80
# … or when it has taken so long.
_LONGEST_MILLISECONDS: Final = 500
_TURN_MILLISECONDS: Final = 200


class Watch:
    """Sets `saved` on every change in the tree, from a thread of its own; `cause` names one."""

    def __init__(self, tree: Tree) -> None:
        self.saved = threading.Event()
        self.cause = ""
        self._tree = tree
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Return when nothing is missed any more. Raises CommandError."""
        self._thread.start()
        self._ready.wait()
        self.check()

    def check(self) -> None:
        """Raises CommandError if the folders cannot be watched any more."""
        if self._failure is not None:
            raise CommandError(
                f"Cannot watch for changes: {self._failure}. If this system cannot watch so many"
                " folders, look at them in turns instead: WATCHFILES_FORCE_POLLING=true.",
                ExitCode.REFUSED,
            ) from self._failure

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        try:
            # Loaded here: no other command needs it.
            from watchfiles import watch

            for changes in watch(
                *self._tree.roots,
                watch_filter=lambda _, path: self._matters(path),
                debounce=_LONGEST_MILLISECONDS,
                step=_QUIET_MILLISECONDS,
                rust_timeout=_TURN_MILLISECONDS,
                yield_on_timeout=True,
                stop_event=self._ended,
                ignore_permission_denied=True,
                raise_interrupt=False,
            ):
                # The first turn is over: the folders are being watched.
                self._ready.set()
                if changes:
                    self.cause = self._tree.relative(Path(min(path for _, path in changes)))
                    self.saved.set()
        except Exception as error:
            self._failure = error
        finally:
            self._ready.set()
            self.saved.set()

    def _matters(self, path: str) -> bool:
        try:
            relative = self._tree.relative(Path(path))
        except ValueError:
            return False  # behind a link that leads elsewhere
        return not self._tree.ignored.change(relative)
