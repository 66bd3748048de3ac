"""Checks whether the code of a deployment goes on with what an invocation has recorded.

A handler is replayed with every attempt: its SDK compares each command that the code issues with
the recorded one, and does not run the closure of a step before all of them were issued again. A
check sends the recorded journal with one command more behind it: a second input, which no code can
issue. So the SDK never finds its replay complete. Whatever the handler does next ends the exchange:

* it issues a command where the second input stands: it got through, and nothing came of it;
* it issues another command than the recorded one: it diverges, and the SDK says where;
* it waits for what has not come: the SDK does not say where it stands. The same journal is sent
  with the second input in the place of its last command. If that one is issued, the handler got
  through and waits at the end; if not, the place where it waits is found by halving.

So no step runs, whether it is new or recorded without its result, and no command leaves the
endpoint. Code outside of steps does run, as in every replay. The official SDKs behave like that
from the first version on that speaks protocol version 5. Should an endpoint not, its answer says so
and is dropped.

`recording` builds the journals, `answers` reads what came back, `examine` decides what to ask next
and what it means; they do no input or output.
"""

from __future__ import annotations

from steadfaas.runtime.check.check import check
from steadfaas.runtime.check.findings import Findings

__all__ = ["Findings", "check"]
