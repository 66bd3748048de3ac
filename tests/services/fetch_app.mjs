// A fetch handler behind node's own HTTP/1.1 server, as a host of such handlers would call it.
//
// TEST_PORT says where to listen (loopback only), TEST_MODULE which file exports GET and POST.

import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const handlers = await import(pathToFileURL(process.env.TEST_MODULE));

createServer(async (incoming, outgoing) => {
  const url = new URL(incoming.url, `http://${incoming.headers.host}`);
  if (url.pathname === "/health") {
    outgoing.end();
    return;
  }
  const body = incoming.method === "GET" ? undefined : Readable.toWeb(incoming);
  const { method, headers } = incoming;
  const request = new Request(url, { method, headers, body, duplex: "half" });
  const answer = await handlers[method](request);
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  for await (const part of answer.body ?? []) {
    outgoing.write(part);
  }
  outgoing.end();
}).listen(Number(process.env.TEST_PORT), "127.0.0.1");
