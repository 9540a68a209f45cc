// Loaded before a program (node --import): no client may talk to anybody but this machine.
import net from "node:net";

const OURS = new Set(["127.0.0.1", "::1", "localhost"]);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [{ host }] = net._normalizeArgs(Array.isArray(args[0]) ? args[0] : args);
  if (!OURS.has(host)) {
    console.error(`A client wanted to talk to ${host}.`);
    process.exit(3);
  }
  return connect.apply(this, args);
};
