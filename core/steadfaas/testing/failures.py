"""What makes a test fail: each is an AssertionError, so that reports treat it as one."""

from __future__ import annotations


class InvocationFailed(AssertionError):
    """An invocation ended with a failure: `code` and `message` are what its caller gets."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Refused(AssertionError):
    """The engine refused a request: `status` and `message` are what a client would have got."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Stuck(AssertionError):
    """The test waits for something that cannot come. The message lists who waits for what."""


class NonDeterminism(AssertionError):
    """A handler took another way when it was replayed. The message shows both command streams."""
