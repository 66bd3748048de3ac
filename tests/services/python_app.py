"""The ASGI application that serves all Python handlers of the tests."""

from __future__ import annotations

import restate

from tests.services.basic import basic
from tests.services.counter import counter, lazy_counter
from tests.services.crash import crash, crash_flow, ledger
from tests.services.effects import remember_connection
from tests.services.hidden import hidden
from tests.services.mailbox import mailbox
from tests.services.signup import signup

app = remember_connection(
    restate.app(
        [basic, counter, lazy_counter, mailbox, signup, hidden, crash, ledger, crash_flow],
        # One request, one answer: the mode of every FaaS platform, and the one we compare.
        protocol="request_response",
    )
)
