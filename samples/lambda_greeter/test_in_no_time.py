"""The same on a clock of the test's own: nobody waits for the greeter."""

from collections.abc import Callable

from test_versions import APP, NEXT

from steadfaas.testing import Steadfaas


async def test_v1_keeps_running(steadfaas: Steadfaas, publish: Callable[..., str]) -> None:
    v1 = await steadfaas.deploy(publish({"app.py": APP}, name="greeter"))
    early = await steadfaas.send("Greeter/greet", "Ada")
    await steadfaas.settle()

    await steadfaas.deploy(publish({"app.py": NEXT}, name="greeter"))
    await steadfaas.crash()

    assert await steadfaas.call("Greeter/greet", "Bob") == "Good morning Bob!"
    assert await early.result() == "Hello Ada!"
    assert early.attempts.deployments == {v1}
