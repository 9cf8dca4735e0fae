// A Socket.IO client that does what it is told on standard input, one JSON object for each line, and tells on standard
// output what happens to it. node client.js <major version> <url> <options as JSON>
const [major, url, options] = process.argv.slice(2);
const io = require(`socket.io-client-${major}`);
const sockets = {};

const say = (of, event, ...data) => console.log(JSON.stringify({ of, event, data }));

const told = {
  connect: ({ of }) => {
    const socket = (sockets[of] = io(url + of, JSON.parse(options)));
    const engine = () => socket.io.engine;
    socket.on("connect", () => say(of, "connect", engine().transport.name, engine().id));
    socket.on("disconnect", (reason) => say(of, "disconnect", reason));
    for (const failure of ["connect_error", "error"])
      socket.on(failure, (error) => say(of, failure, error.message || error));
    for (const event of ["create", "update", "delete", "reset", "alarm", "urgent_alarm", "clear_alarm"])
      socket.on(event, (...data) => say(of, event, ...data));
    socket.io.on("open", () => engine().on("upgrade", (transport) => say(of, "upgrade", transport.name)));
  },
  emit: ({ of, event, data }) => sockets[of].emit(event, ...data, (...answer) => say(of, "ack", ...answer)),
  close: ({ of }) => sockets[of].close(),
  drop: ({ of }) => sockets[of].io.engine.close(),
};

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: what, ...rest } = JSON.parse(line);
    told[what](rest);
  })
  .on("close", () => process.exit());
