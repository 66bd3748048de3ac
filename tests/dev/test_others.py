"""Programs that are not Python, and servers that are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadfaas.testing.engine import SteadfaasEngine
from tests.dev.program import Dev, Program, resolve
from tests.support import client
from tests.support.npm import NpmParts
from tests.support.processes import RestateServer

pytestmark = pytest.mark.e2e

SERVER = """
import { createServer } from "node:http";
import * as restate from "@restatedev/restate-sdk";

const greeter = restate.service({
  name: "NodeGreeter",
  handlers: {
    greet: async (ctx, name) => {
      const { id, promise } = ctx.awakeable();
      console.log("waits", name, id);
      await promise;
      const { hello } = await import("./words.mjs");
      return hello(name);
    },
    version: async (ctx) => (await import("./words.mjs")).hello("you"),
  },
});
const handler = restate.createEndpointHandler({ services: [greeter], bidirectional: false });
createServer(handler).listen(Number(process.env.PORT), "127.0.0.1");
"""


def test_a_program_for_node(
    tmp_path: Path, steadfaas_engine: SteadfaasEngine, npm_parts: NpmParts
) -> None:
    engine, folder = steadfaas_engine, tmp_path / "program"
    folder.mkdir()
    (folder / "server.mjs").write_text(SERVER)
    (folder / "node_modules").symlink_to(npm_parts.node_modules)
    words = folder / "words.mjs"
    words.write_text("export const hello = (name) => `v1 ${name}`;")
    with Dev(folder, engine.admin_url, "--", str(npm_parts.node), "server.mjs") as dev:
        first = dev.serving()
        early = engine.send("NodeGreeter/greet", "Ada")
        version, awakeable = dev.waits("Ada")
        assert version == first
        words.write_text("export const hello = (name) => `v2 ${name}`;")
        second = dev.serving()
        assert engine.call("NodeGreeter/version") == "v2 you"
        dev.wait("waiting", first)
        resolve(engine.ingress_url, awakeable)
        assert early.result() == "v1 Ada"
        dev.wait("drained", first)
        place = folder / ".steadfaas/dev/server"
        assert [path.name for path in place.iterdir() if path.is_dir()] == [second]


def test_the_official_server(tmp_path: Path, restate_server: RestateServer) -> None:
    """It can neither promote nor tell what a deployment waits for: the story is the same."""
    ingress, program = restate_server.ingress, Program(tmp_path / "program")

    def called() -> str:
        reply = client.request("POST", ingress, "/Greeter/version", timeout=30.0)
        assert reply.status == 200, reply.body
        return str(reply.json())

    with Dev(program.folder, restate_server.admin) as dev:
        first = dev.serving()
        sent = client.post_json(ingress, "/Greeter/greet/send", "Ada").json()
        _, awakeable = dev.waits("Ada")
        program.save("v2")
        second = dev.serving()
        assert called() == "v2 v2 you"
        assert dev.wait("waiting", first)["unfinished"] == 1
        program.save("v1")
        assert dev.wait("promoted")["version"] == first
        assert called() == "v1 v1 you"
        dev.wait("drained", second)
        program.save("v3")
        third = dev.serving()
        dev.kill()
    with Dev(program.folder, restate_server.admin) as dev:
        assert dev.serving() == third
        dev.wait("started", first)
        resolve(ingress, awakeable)
        path = f"/restate/invocation/{sent['invocationId']}/attach"
        reply = client.request("GET", ingress, path, timeout=60.0)
        assert reply.json() == "v1 v1 Ada"
        dev.wait("drained", first)
        assert program.kept == {third}
