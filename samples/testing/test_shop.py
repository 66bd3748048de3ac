"""What may go wrong between two releases, in a second and without a server."""

import pytest
import shop_v1
import shop_v2

from steadfaas.testing import AsgiApp, InvocationFailed, Steadfaas


async def test_in_flight_orders_stay_on_v1(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(shop_v1.app)
    order = await steadfaas.send("Checkout/place", {"id": 1})
    await steadfaas.advance("3 days")

    await steadfaas.deploy(shop_v2.app)
    steadfaas.fail(v1, times=2, status=503)

    assert await order.result() == {"by": "v1"}
    assert order.attempts.deployments == {v1}


async def test_a_crash_charges_nobody_twice(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(shop_v1.app)
    order = await steadfaas.send("Checkout/place", {"id": 2})
    await steadfaas.advance("1 day")
    await steadfaas.crash()

    assert await order.result() == {"by": "v1"}
    assert order.steps == {"charge": "charged order 2", "ship": "shipped order 2"}


async def test_the_warehouse_answers(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(shop_v2.app)
    order = await steadfaas.send("Checkout/place", {"id": 3})
    await steadfaas.advance("1 hour")

    await steadfaas.resolve(order.steps["ask the warehouse"], "packed")
    assert await order.result() == {"by": "v2"}


async def test_the_warehouse_does_not_answer(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(shop_v2.app)
    with pytest.raises(InvocationFailed, match="504: the warehouse did not answer"):
        await steadfaas.call("Checkout/place", {"id": 4})


@pytest.mark.steadfaas(always_replay=True)
@pytest.mark.parametrize("app", [shop_v1.app, shop_v2.app], ids=["v1", "v2"])
async def test_every_version_takes_the_same_way_twice(steadfaas: Steadfaas, app: AsgiApp) -> None:
    await steadfaas.deploy(app)
    await steadfaas.send("Checkout/place", {"id": 5})
    await steadfaas.run_until_idle()
