// A service on Cloudflare Workers. Each upload is a version; steadfaas keeps every request on the
// version that began it, also over a sleep of days.
import * as restate from "@restatedev/restate-sdk-cloudflare-workers/fetch";

type Welcome = { name: string; days: number };

const greeter = restate.service({
  name: "Greeter",
  handlers: {
    greet: async (ctx: restate.Context, name: string) => {
      const greeting = await ctx.run("compose", () => `Hello ${name}`);
      return `${greeting}!`;
    },

    // Says hello now, and asks again some days later: nothing runs meanwhile.
    welcome: async (ctx: restate.Context, { name, days }: Welcome) => {
      const first = await ctx.run("hello", () => `Hello ${name}`);
      await ctx.sleep({ days });
      const second = await ctx.run("how are you", () => `How are you, ${name}?`);
      return [first, second];
    },
  },
});

export default { fetch: restate.createEndpointHandler({ services: [greeter] }) };
