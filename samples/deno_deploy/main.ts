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

const serve = restate.createEndpointHandler({ services: [greeter] });

// Whoever knows a revision's address can call it, so callers bring a key. The address runs with the
// variables of the development context: set this one for all contexts. Without it, everybody may call.
const key = Deno.env.get("GREETER_KEY");

export default {
  fetch(request: Request): Response | Promise<Response> {
    if (key && request.headers.get("x-greeter-key") !== key) {
      return new Response("the key is missing or wrong", { status: 401 });
    }
    return serve(request);
  },
};
