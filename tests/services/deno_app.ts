// A shop on Deno, with the official SDK. The tests deploy it twice, with VERSION replaced.

import * as restate from "@restatedev/restate-sdk/fetch";

const VERSION = "first code";

const shop = restate.service({
  name: "Shop",
  handlers: {
    order: async (ctx: restate.Context, { item, nap }: { item: string; nap: number }) => {
      const taken = await ctx.run("take", () => `${item} taken by ${VERSION}`);
      await ctx.sleep(nap);
      const shipped = await ctx.run("ship", () => `shipped by ${VERSION}`);
      return [taken, shipped];
    },

    secret: async () => Deno.env.get("TEST_SECRET") ?? "none",
  },
});

export default { fetch: restate.createEndpointHandler({ services: [shop] }) };
