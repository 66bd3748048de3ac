"""Version 1 keeps running after version 2 was published."""

from collections.abc import Callable
from pathlib import Path

from steadfaas.testing import SteadfaasEngine

APP = (Path(__file__).parent / "app.py").read_text()
NEXT = APP.replace("Hello", "Good morning")


def test_v1_keeps_running_after_v2_is_published(
    publish: Callable[..., str], steadfaas_engine: SteadfaasEngine
) -> None:
    publish({"app.py": APP}, name="greeter", alias="live")
    v1 = steadfaas_engine.deploy("lambda:greeter@live")
    early = steadfaas_engine.send("Greeter/greet", "Ada")

    publish({"app.py": NEXT}, name="greeter", alias="live")
    steadfaas_engine.deploy("lambda:greeter@live")
    late = steadfaas_engine.send("Greeter/greet", "Bob")
    steadfaas_engine.restart()

    assert late.result() == "Good morning Bob!"
    assert early.result() == "Hello Ada!"
    assert early.deployments == {v1}
