// The page: takes what the server sends and hands it to its parts.

import { showBanner, showLink } from "./banner.js";
import { showLatencies, showRecent } from "./charts.js";
import { byId } from "./dom.js";
import { Link } from "./link.js";
import { showAlarms, showNight, showPairing, showServices, showWorkers } from "./panels.js";
import { showStrip, startStrip } from "./strip.js";
import { openTimeline, refreshTimeline, startTimeline } from "./timeline.js";

let snapshot = null; // the last one that came
let known = null; // the last one with Redis answering: what is shown while it does not
let problem = "";

startStrip(openTimeline);
startTimeline();

const link = new Link({
  onSnapshot(received) {
    if (snapshot && snapshot.overview.version !== received.overview.version) {
      location.reload(); // the server is a newer one: so must its page be
      return;
    }
    snapshot = received;
    if (received.overview.redis.answers) known = received;
    draw();
    refreshTimeline(received.overview.recent);
  },
  onBeat(beat) {
    problem = beat.problem;
    for (const part of known?.overview.workers ?? []) {
      if (part.heartbeat && part.worker in beat.beats) part.heartbeat.written_at = beat.beats[part.worker];
    }
    drawAges();
  },
  onWatch(watched) {
    showLink(watched, snapshot, problem, known && known.overview.at);
  },
});

function draw() {
  const now = link.now();
  document.body.dataset.redis = snapshot.overview.redis.answers ? "answers" : "away";
  showBanner(snapshot, now);
  showAlarms(snapshot.alarms);
  showServices(snapshot.overview);
  if (snapshot !== known) return; // nothing else is known: the last state stays, marked as old
  showLatencies(known.bounds_s, known.latencies);
  showRecent(known.overview.recent);
  drawAges();
}

// What shows an age, every second.
function drawAges() {
  if (!snapshot || snapshot !== known) return;
  const now = link.now();
  const { overview } = known;
  showStrip(overview.recent, now);
  showWorkers(overview.workers, now);
  showPairing(overview.pairing, now);
  showNight(known, now);
}

byId("strip").setAttribute("data-ready", "yes");
