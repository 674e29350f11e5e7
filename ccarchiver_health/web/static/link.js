// The stream of events from the server: opened, watched, and opened again for as long as the page is open.

const STALE_AFTER_MS = 4000; // a beat comes every second; a reading that Redis holds up may take two of them
const REOPEN_AFTER_MS = 8000; // of silence: a stream that a frozen server or a dead tunnel holds open never ends by itself
const WATCH_EVERY_MS = 500;

export class Link {
  constructor({ onSnapshot, onBeat, onWatch }) {
    this.handlers = { onSnapshot, onBeat, onWatch };
    this.heard = performance.now();
    this.opened = performance.now();
    this.hasHeard = false;
    this.serverTime = 0;
    this.open();
    setInterval(() => this.watch(), WATCH_EVERY_MS);
    document.addEventListener("visibilitychange", () => this.watch());
  }

  // The server's clock now: ages are its differences, whatever this machine's clock says.
  now() {
    return this.serverTime ? this.serverTime + (performance.now() - this.heard) / 1000 : 0;
  }

  get silentMs() {
    return performance.now() - this.heard;
  }

  get isStale() {
    return this.silentMs > STALE_AFTER_MS;
  }

  open() {
    this.source?.close();
    this.opened = performance.now();
    this.source = new EventSource("events");
    this.source.addEventListener("snapshot", (event) => this.take(event, (data) => this.handlers.onSnapshot(data)));
    this.source.addEventListener("beat", (event) => {
      this.take(event, (data) => {
        this.serverTime = data.at;
        this.handlers.onBeat(data);
      });
    });
  }

  take(event, handle) {
    const data = JSON.parse(event.data);
    this.heard = performance.now();
    this.hasHeard = true;
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
