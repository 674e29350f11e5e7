// Dialog with the timeline of one image: every stage with its time, worker and duration.

import { byId, el, svg } from "./dom.js";
import { clock, fineClock, seconds } from "./format.js";
import { CELLS, ccdTitle, cell, stateWord } from "./recent_images.js";

const AXIS = 100;
const FINISHED = ["complete", "failed", "skipped", "unannounced", "missed", "dismissed", "unreadable"];

let current = ""; // name of the image shown; a response for another image is ignored
let loading = false;
let hasEnded = false;
let opener = null;

export function startTimeline() {
  const dialog = byId("timeline");
  byId("timeline-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // a click outside the dialog
  });
  dialog.addEventListener("close", () => {
    current = "";
    if (opener && opener.isConnected) opener.focus();
  });
}

export function openTimeline(name) {
  current = name;
  hasEnded = false;
  opener = document.activeElement;
  byId("timeline-name").textContent = name;
  byId("timeline-body").replaceChildren(el("p", {}, "loading …"));
  byId("timeline").showModal();
  load();
}

// Load the image again with each snapshot, until the image has ended.
export function refreshTimeline(recent) {
  if (!current || hasEnded) return;
  if (recent.length) load();
}

async function load() {
  if (loading) return;
  loading = true;
  const name = current;
  try {
    const answer = await fetch(`api/image?name=${encodeURIComponent(name)}`);
    const body = answer.ok ? await answer.json() : null;
    const problem = answer.ok ? "" : await answer.text();
    if (name !== current) return;
    if (body) show(body);
    else byId("timeline-body").replaceChildren(el("p", { class: "problem" }, problem));
  } catch {
    if (name === current) {
      const text = "The status server does not answer.";
      byId("timeline-body").replaceChildren(el("p", { class: "problem" }, text));
    }
  } finally {
    loading = false;
    if (current && current !== name) load();
  }
}

function show({ summary, ccds, timeline, waiting_on: waitingOn, target_dir: targetDir }) {
  hasEnded = FINISHED.includes(summary.state);
  const took =
    summary.finished && summary.last_event_at ? Math.max(0, summary.finished - summary.last_event_at) : null;
  const facts = [
    `job ${summary.job}`,
    `first event ${clock(summary.at)} UTC`,
    took === null ? "" : `ended ${seconds(took)} after its last event`,
    hasEnded ? "" : `waits for ${waitingOn}`,
    targetDir && `to ${targetDir}`,
    summary.failed && `${summary.failed_code || ""} ${summary.failed}`,
  ].filter(Boolean);
  byId("timeline-body").replaceChildren(
    el("p", { class: "state", "data-state": summary.state }, stateWord(summary.state)),
    el("p", { class: "facts" }, facts.join(" · ")),
    el("ul", { class: "ccds" }, ...ccds.map(ccdItem)),
    table(timeline),
  );
}

function ccdItem(ccd) {
  const [letter] = CELLS[ccd.state] ?? ["?"];
  return el("li", { title: ccd.filename }, cell(ccd, letter), ccdTitle(ccd));
}

function table(timeline) {
  const begin = Math.min(...timeline.map((entry) => entry.at));
  const length = Math.max(0.001, Math.max(...timeline.map((entry) => entry.at)) - begin);
  const head = ["UTC", "elapsed", "worker", "event", "", "took", ""].map((text) => el("th", { scope: "col" }, text));
  const rows = timeline.map((entry) =>
    el(
      "tr",
      {},
      el("td", { class: "time" }, fineClock(entry.at)),
      el("td", { class: "time" }, `+${(entry.at - begin).toFixed(3)}`),
      el("td", { class: "who" }, entry.worker ?? "operator"),
      el("td", { class: "what" }, entry.what),
      el("td", { class: "axis" }, bar(entry, begin, length)),
      el("td", { class: "time" }, entry.took_s === null ? "" : seconds(entry.took_s)),
      el("td", { class: "detail" }, entry.detail),
    ),
  );
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

function bar(entry, begin, length) {
  const end = ((entry.at - begin) / length) * AXIS;
  const width = Math.min(end, ((entry.took_s ?? 0) / length) * AXIS);
  const kind = /\b(retrieved|ingested)$/u.exec(entry.what)?.[1] ?? "";
  return svg(
    "svg",
    { viewBox: `0 0 ${AXIS} 8`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { x: 0, y: 3.5, width: AXIS, height: 1, class: "grid" }),
    svg("rect", { x: end - width, y: 2, width, height: 4, class: `took ${kind}` }),
    svg("rect", { x: Math.max(0, Math.min(AXIS - 1, end - 0.5)), y: 0, width: 1, height: 8, class: "entry" }),
  );
}
