// A greeter that takes its time: revision 2 may be out before revision 1 has finished.

import * as restate from "@restatedev/restate-sdk/fetch";

const greeter = restate.service({
  name: "Greeter",
  handlers: {
    greet: async (ctx: restate.Context, name: string) => {
      const greeting = await ctx.run("compose", () => `Hello ${name}`);
      await ctx.sleep({ seconds: 2 });
      return await ctx.run("finish", () => `${greeting}!`);
    },
  },
});

// A revision's own address runs with the variables of the development context: set this one for all
// contexts. It is the public key of whoever may call; without it, everybody may.
const key = Deno.env.get("RESTATE_IDENTITY_KEY");

export default {
  fetch: restate.createEndpointHandler({
    services: [greeter],
    ...(key ? { identityKeys: [key] } : {}),
  }),
};
