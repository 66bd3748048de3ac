"""Lambda on this machine: moto is the control plane, and versions run in processes of their own.

A *function* has *versions*, each with its own code. An *execution environment* is a process with
the code of one version, running AWS's own runtime client, which takes events from our *Runtime
API*. A *cold start* is an invocation for which an environment had to be started.

A call takes this way:

    front          one HTTP endpoint; everything but Invoke goes to …
    control_plane  moto in this process, with its gaps closed
    invoke         Invoke: version or alias → version, checks, answer
    fleet          idle and busy environments, limits on concurrency
    environment    one process: its start, time limit and end
    runtime_api    what that process asks for events and tells results to
"""

from __future__ import annotations

from steadfaas.testing.local_lambda.archive import Code
from steadfaas.testing.local_lambda.local import LocalLambda, NotUsable
from steadfaas.testing.local_lambda.report import Report

__all__ = ["Code", "LocalLambda", "NotUsable", "Report"]
