// The event stream from the server: opened, monitored, and opened again when it is silent.

// The server sends a tick every second. A slow Redis can delay one by two seconds.
const STALE_AFTER_MS = 4000;
// A stream to a frozen server or through a dead tunnel never ends by itself.
const REOPEN_AFTER_MS = 8000;
const WATCH_EVERY_MS = 500;

export class Link {
  constructor({ onSnapshot, onTick, onWatch }) {
    this.handlers = { onSnapshot, onTick, onWatch };
    this.receivedAt = performance.now();
    this.opened = performance.now();
    this.hasData = false;
    this.serverTime = 0;
    this.open();
    setInterval(() => this.watch(), WATCH_EVERY_MS);
    document.addEventListener("visibilitychange", () => this.watch());
  }

  // Return the time of the server's clock. Ages use it, so the browser's clock may be wrong.
  now() {
    return this.serverTime ? this.serverTime + (performance.now() - this.receivedAt) / 1000 : 0;
  }

  get silentMs() {
    return performance.now() - this.receivedAt;
  }

  get isStale() {
    return this.silentMs > STALE_AFTER_MS;
  }

  open() {
    this.source?.close();
    this.opened = performance.now();
    this.source = new EventSource("events");
    this.source.addEventListener("snapshot", (event) => {
      this.receive(event, (data) => this.handlers.onSnapshot(data));
    });
    this.source.addEventListener("tick", (event) => {
      this.receive(event, (data) => {
        this.serverTime = data.at;
        this.handlers.onTick(data);
      });
    });
  }

  receive(event, handle) {
    const data = JSON.parse(event.data);
    this.receivedAt = performance.now();
    this.hasData = true;
    if (data.overview) this.serverTime = data.overview.at;
    handle(data);
    this.handlers.onWatch(this);
  }

  watch() {
    const sinceOpened = performance.now() - this.opened;
    const isClosed = this.source.readyState === EventSource.CLOSED;
    if (this.isStale && sinceOpened > (isClosed ? STALE_AFTER_MS / 2 : REOPEN_AFTER_MS)) this.open();
    this.handlers.onWatch(this);
  }
}
