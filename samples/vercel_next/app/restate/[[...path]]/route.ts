import { createEndpointHandler } from "@restatedev/restate-sdk/fetch";
import { greeter } from "../../../greeter.ts";

// Vercel ends a function after so many seconds. A handler that sleeps does not run meanwhile.
export const maxDuration = 300;

const handler = createEndpointHandler({ services: [greeter] });

export { handler as GET, handler as POST };
