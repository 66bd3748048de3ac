// The handlers of `script_app.py`, with the official TypeScript SDK: the same moves, the same log.
// The moves "any" and "branches" are its own.
//
// TEST_PORT, TEST_NODE_MODULES: as in node_app.mjs. TEST_EFFECTS_FILE gets the side effects.

import { AsyncLocalStorage } from "node:async_hooks";
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TEST_NODE_MODULES, "resolve-from-here.js"));
const restate = require("@restatedev/restate-sdk");

const version = new AsyncLocalStorage();

function effect(kind, name) {
  const line = JSON.stringify({ kind, name, version: version.getStore() });
  appendFileSync(process.env.TEST_EFFECTS_FILE, line + "\n");
  return name;
}

function player(ctx) {
  const started = [];
  const futures = {
    run: (name) => ctx.run(name, () => effect("run", name)),
    stumble: (name) =>
      ctx.run(name, () => {
        effect("run", name);
        throw new Error("it stumbles");
      }),
    refuse: (name) =>
      ctx.run(name, () => {
        effect("run", name);
        throw new restate.TerminalError("it refuses", { errorCode: 418 });
      }),
    sleep: (seconds) => ctx.sleep(seconds * 1000),
    call: (handler, text) =>
      ctx.genericCall({ service: "Echo", method: handler, parameter: new TextEncoder().encode(text) }),
    awakeable: () => ctx.awakeable().promise,
    signal: (name) => ctx.signal(name),
    promise: (name) => ctx.promise(name).get(),
    peek: (name) => ctx.promise(name).peek(),
    get: (name) => ctx.get(name),
    keys: () => ctx.stateKeys(),
  };
  const future = ([name, ...rest]) => futures[name](...rest);
  const plain = {
    set: (name, value) => ctx.set(name, value),
    clear: (name) => ctx.clear(name),
    "clear-all": () => ctx.clearAll(),
    send: (handler, text) =>
      ctx.genericSend({ service: "Echo", method: handler, parameter: new TextEncoder().encode(text) }),
    outside: (name) => effect("outside", name),
    raise: () => {
      throw new Error("the code is broken");
    },
    terminal: () => {
      throw new restate.TerminalError("this is final", { errorCode: 409 });
    },
    start: (...moves) => started.push(...moves.map(future)),
  };
  const waits = {
    join: async (n) => await started[n],
    all: async (...moves) => await restate.RestatePromise.all(moves.map(future)),
    race: async (...moves) => await restate.RestatePromise.race(moves.map(future)),
    any: async (...moves) => await restate.RestatePromise.any(moves.map(future)),
    branches: async (...scripts) => await Promise.all(scripts.map(play)),
    catch: async (moves, otherwise) => {
      try {
        await play(moves);
      } catch (error) {
        if (!(error instanceof restate.TerminalError)) throw error;
        await play(otherwise);
      }
    },
  };
  async function play(moves) {
    for (const [move, ...rest] of moves) {
      if (move === "return") return rest[0];
      if (move in plain) plain[move](...rest);
      else if (move in waits) await waits[move](...rest);
      else await future([move, ...rest]);
    }
    return "the end";
  }
  return play;
}

const play = async (ctx, scripts) => await player(ctx)(scripts[version.getStore()]);
const options = { retryPolicy: { initialInterval: { hours: 1 } } };

const services = [
  restate.service({ name: "Script", handlers: { play }, options }),
  restate.object({ name: "Thing", handlers: { play }, options }),
  restate.object({
    name: "LazyThing",
    handlers: { play },
    options: { ...options, enableLazyState: true },
  }),
  restate.workflow({ name: "Flow", handlers: { run: play }, options }),
  restate.service({
    name: "Echo",
    handlers: {
      say: async (ctx, text) => text,
      never: async (ctx) => await ctx.awakeable().promise,
    },
  }),
];

const handler = restate.createEndpointHandler({ services, bidirectional: false });
createServer((request, response) => {
  const first = request.url.split("/")[1];
  version.run(first === "new" ? "new" : "old", () => handler(request, response));
}).listen(Number(process.env.TEST_PORT), "127.0.0.1");
