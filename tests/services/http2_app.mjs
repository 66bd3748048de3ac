// A service behind HTTP/2 and nothing else, as SDKs start one by themselves.
//
// TEST_PORT, TEST_NODE_MODULES: as in node_app.mjs. TEST_HEALTH_PORT speaks HTTP/1.1: it answers when
// the other one listens.

import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TEST_NODE_MODULES, "resolve-from-here.js"));
const restate = require("@restatedev/restate-sdk");

const long = restate.service({ name: "LongLived", handlers: { greet: async () => "hello" } });
const server = createHttp2Server(restate.createEndpointHandler({ services: [long] }));
server.listen(Number(process.env.TEST_PORT), "127.0.0.1", () => {
  const health = createServer((_, answer) => answer.end());
  health.listen(Number(process.env.TEST_HEALTH_PORT), "127.0.0.1");
});
