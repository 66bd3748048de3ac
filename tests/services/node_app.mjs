// The core handlers of the tests, written with the official TypeScript SDK, over HTTP/1.1.
//
// TEST_PORT says where to listen (loopback only), TEST_NODE_MODULES where the SDK is installed:
// it lives in the checkout's cache, not beside this file, so a bare import would not find it.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TEST_NODE_MODULES, "resolve-from-here.js"));
const restate = require("@restatedev/restate-sdk");

const basic = restate.service({
  name: "NodeBasic",
  handlers: {
    greet: async (ctx, name) => `Hello ${name}`,

    threeSteps: async (ctx, name) => [
      await ctx.run("first", () => `1 ${name}`),
      await ctx.run("second", () => `2 ${name}`),
      await ctx.run("third", () => `3 ${name}`),
    ],

    sleepy: async (ctx) => {
      await ctx.sleep(100);
      return "awake";
    },

    terminal: async (ctx, { code, message }) => {
      throw new restate.TerminalError(message, { errorCode: code });
    },

    callOther: async (ctx, name) => {
      const greeting = await ctx.serviceClient(basic).greet(name);
      return `${greeting}, says callOther`;
    },

    sendOther: async (ctx, key) => {
      const handle = ctx.objectSendClient(counter, key).add(1);
      return await handle.invocationId;
    },

    awaitAwakeable: async (ctx, key) => {
      const { id, promise } = ctx.awakeable();
      ctx.objectSendClient(mailbox, key).put(id);
      return await promise;
    },

    resolveAwakeable: async (ctx, { id, value }) => {
      ctx.resolveAwakeable(id, value);
    },
  },
});

const counter = restate.object({
  name: "NodeCounter",
  handlers: {
    add: async (ctx, value) => {
      const total = ((await ctx.get("value")) ?? 0) + value;
      ctx.set("value", total);
      return total;
    },
    get: restate.handlers.object.shared(async (ctx) => (await ctx.get("value")) ?? 0),
    clear: async (ctx) => ctx.clearAll(),
  },
});

const mailbox = restate.object({
  name: "NodeMailbox",
  handlers: {
    put: async (ctx, text) => ctx.set("text", text),
    get: restate.handlers.object.shared(async (ctx) => await ctx.get("text")),
  },
});

const signup = restate.workflow({
  name: "NodeSignup",
  handlers: {
    run: async (ctx, email) => {
      const word = await ctx.promise("verified");
      return `${email} verified by ${word}`;
    },
    verify: async (ctx, word) => await ctx.promise("verified").resolve(word),
  },
});

const handler = restate.createEndpointHandler({
  services: [basic, counter, mailbox, signup],
  bidirectional: false,
});
createServer(handler).listen(Number(process.env.TEST_PORT), "127.0.0.1");
