"""The benchmark: our engine beside restate-server, with the same handlers and the same durability.

`python -m tests.bench` starts everything itself, on loopback, and ends by itself. It takes turns
between the engines within one run, so that a noisy neighbour or a warming processor hits both, and
reports medians over the rounds.

Some parts are measured by themselves, each by `python -m tests.bench.NAME`: `batches`, `callers`,
`drain`, `lambda_calls`, `local_lambda`, `query`, and `rollout` (plan and apply of 200 deployments
on four platforms).
"""
