// Entry point: receives the events of the server and updates the parts of the page.

import { showBanner, showLink } from "./banner.js";
import { showLatencies, showRecent } from "./charts.js";
import { byId } from "./dom.js";
import { Link } from "./link.js";
import { showAlarms, showNight, showPairing, showServices, showWorkers } from "./panels.js";
import { showRecentImages, startRecentImages } from "./recent_images.js";
import { openTimeline, refreshTimeline, startTimeline } from "./timeline.js";

let snapshot = null; // the last one received
let known = null; // the last one with a Redis that answered: shown while Redis is unavailable
let problem = "";

startRecentImages(openTimeline);
startTimeline();

const link = new Link({
  onSnapshot(received) {
    if (snapshot && snapshot.overview.version !== received.overview.version) {
      location.reload(); // another version of the server has another version of the page
      return;
    }
    snapshot = received;
    if (received.overview.redis.answers) known = received;
    draw();
    refreshTimeline(received.overview.recent);
  },
  onTick(tick) {
    problem = tick.problem;
    for (const part of known?.overview.workers ?? []) {
      if (part.heartbeat && part.worker in tick.heartbeats) part.heartbeat.written_at = tick.heartbeats[part.worker];
    }
    drawAges();
  },
  onWatch(watched) {
    showLink(watched, snapshot, problem, known && known.overview.at);
  },
});

function draw() {
  const now = link.now();
  document.body.dataset.redis = snapshot.overview.redis.answers ? "answers" : "unavailable";
  showBanner(snapshot, now);
  showAlarms(snapshot.alarms);
  showServices(snapshot.overview);
  if (snapshot !== known) return; // the rest keeps its last state, which is marked as old
  showLatencies(known.bounds_s, known.latencies);
  showRecent(known.overview.recent);
  drawAges();
}

// Update the parts that show an age, every second.
function drawAges() {
  if (!snapshot || snapshot !== known) return;
  const now = link.now();
  const { overview } = known;
  showRecentImages(overview.recent, now);
  showWorkers(overview.workers, now);
  showPairing(overview.pairing, now);
  showNight(known, now);
}

// A link of the page of a night names an exposure, whose timeline is opened.
function openLinked() {
  const name = new URLSearchParams(location.hash.slice(1)).get("image");
  if (name) openTimeline(name);
}

addEventListener("hashchange", openLinked);
openLinked();

byId("recent-images").setAttribute("data-ready", "yes");
