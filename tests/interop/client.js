// A process with sockets of socket.io-client that does what it is told on standard input, one JSON object for each line,
// and tells on standard output what happens: node client.js <major version> <url>
const [major, url] = process.argv.slice(2);
const io = require(`socket.io-client-${major}`);
const EVENTS = ["create", "update", "delete", "reset", "alarm", "urgent_alarm", "announcement", "clear_alarm", "notification"];
const sockets = {};

const say = (of, event, ...data) => console.log(JSON.stringify({ of, event, data }));

const told = {
  connect({ of, namespace, options }) {
    const socket = (sockets[of] = io(url + namespace, options));
    const engine = () => socket.io.engine;
    socket.on("connect", () => say(of, "connect", engine().transport.name, engine().id));
    socket.on("disconnect", (reason) => say(of, "disconnect", reason));
    for (const failure of ["connect_error", "error"])
      socket.on(failure, (error) => say(of, "refused", error.message || error));
    for (const event of EVENTS) socket.on(event, (...data) => say(of, event, ...data));
    socket.io.on("open", () => {
      engine().on("upgrade", (transport) => say(of, "upgrade", transport.name));
      engine().on("packet", ({ type }) => ["ping", "pong"].includes(type) && say(of, "heartbeat"));
    });
  },
  emit: ({ of, event, data }) => sockets[of].emit(event, ...data, (...answer) => say(of, "ack", ...answer)),
  reconnect: ({ of }) => sockets[of].io.engine.close(),
  leave: ({ of }) => sockets[of].close(),
};

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: what, ...details } = JSON.parse(line);
    told[what](details);
  })
  .on("close", () => process.exit());
