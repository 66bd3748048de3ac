// A Worker of the official SDK. VERSION is put in when it is built, so that two versions differ in
// their code alone.
import * as restate from "@restatedev/restate-sdk-cloudflare-workers/fetch";

declare const VERSION: string;

const shop = restate.service({
  name: "Shop",
  handlers: {
    // Which version began it, and which ended it.
    order: async (ctx: restate.Context, asleep: number) => {
      const began = await ctx.run("begin", () => VERSION);
      await ctx.sleep(asleep);
      const ended = await ctx.run("end", () => VERSION);
      return { began, ended };
    },
  },
});

export default { fetch: restate.createEndpointHandler({ services: [shop] }) };
