import * as restate from "@restatedev/restate-sdk/fetch";

export const greeter = restate.service({
  name: "Greeter",
  handlers: {
    greet: async (ctx: restate.Context, name: string): Promise<string> => {
      const greeting = await ctx.run("choose a greeting", () => "Hello");
      // The function ends here, and is called again by the deployment that began this.
      await ctx.sleep({ seconds: 3 });
      return `${greeting} ${name}!`;
    },
  },
});
