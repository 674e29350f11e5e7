// The text panels: alarms, workers, Forwarder and services, last hour.

import { byId, el, setText, show } from "./dom.js";
import { age, clock, mebibytes, plural, seconds } from "./format.js";

const SEVERITY_GLYPHS = { critical: "✖", warning: "▲" };
const HEARTBEAT_LATE_S = 3; // workers write a heartbeat every second
const NEW_S = 60; // a worker is marked for this time after its start, which may be unexpected

export function showAlarms(alarms) {
  show(byId("alarms"), alarms, () => {
    if (!alarms.length) return el("li", { class: "none" }, el("span", { class: "glyph" }, "✔"), "No alarm");
    return alarms.map((alarm) =>
      el(
        "li",
        { "data-severity": alarm.severity, "data-name": alarm.name, title: alarm.text },
        el("span", { class: "glyph", "aria-hidden": "true" }, SEVERITY_GLYPHS[alarm.severity] ?? "?"),
        el(
          "div",
          {},
          el("p", {}, el("span", { class: "unseen" }, `${alarm.severity}: `), alarm.text),
          el("p", { class: "do" }, alarm.remedy),
          el("p", {}, el("a", { href: `runbook?entry=${encodeURIComponent(alarm.name)}` }, `runbook: ${alarm.name}`)),
        ),
      ),
    );
  });
}

// Ages change every second, so the elements stay and only their texts are replaced.
export function showWorkers(workers, now) {
  const list = byId("workers");
  workers.forEach((part, place) => {
    const card = list.children[place] ?? list.appendChild(workerCard());
    const { heartbeat } = part;
    const silence = heartbeat ? now - heartbeat.written_at : Infinity;
    const up = heartbeat && heartbeat.started ? now - Date.parse(heartbeat.started) / 1000 : 0;
    const health = healthOf(heartbeat, silence);
    card.dataset.worker = part.worker;
    card.dataset.health = health;
    put(card, ".glyph", { down: "✖", degraded: "✖", late: "▲", well: "✔" }[health]);
    put(card, "strong", part.worker);
    const started = heartbeat && up < NEW_S ? `started ${age(up)} ago` : "";
    put(card, ".mark", health === "late" ? `no heartbeat for ${age(silence)}` : started);
    const doing = heartbeat ? heartbeat.degraded_reason || heartbeat.state : "down: no heartbeat";
    put(card, ".doing", doing);
    const facts = heartbeat ? processFacts(heartbeat, up) : "the process is not running, or hangs";
    put(card, ".facts", facts);
    const oldest = part.mailbox_oldest_s >= 1 ? `, oldest ${age(part.mailbox_oldest_s)}` : "";
    put(card, ".mailbox", `${plural(part.mailbox_depth, "message")} waiting${oldest}`);
  });
}

function healthOf(heartbeat, silence) {
  if (!heartbeat) return "down";
  if (heartbeat.degraded_reason) return "degraded";
  return silence > HEARTBEAT_LATE_S ? "late" : "well";
}

function processFacts(heartbeat, up) {
  const cpu = Math.round(heartbeat.cpu_share * 100);
  return `pid ${heartbeat.pid} · up ${age(up)} · ${mebibytes(heartbeat.rss_bytes)} · CPU ${cpu} %`;
}

function workerCard() {
  return el(
    "li",
    {},
    el("p", {}, el("span", { class: "glyph", "aria-hidden": "true" }), el("strong"), el("span", { class: "mark" })),
    el("p", { class: "doing" }),
    el("p", { class: "facts" }),
    el("p", { class: "mailbox facts" }),
  );
}

function put(card, selector, text) {
  setText(card.querySelector(selector), text);
}

export function showPairing(pairing, now) {
  const paired = pairing && pairing.hostname;
  const unpaired = pairing && pairing.is_active ? "searching for a Forwarder" : "no session";
  const word = paired ? `paired with ${pairing.hostname}` : unpaired;
  const node = byId("pairing");
  if (paired) node.dataset.pairing = pairing.presence_ttl_s === null ? "silent" : "paired";
  else node.dataset.pairing = pairing && pairing.is_active ? "searching" : "none";
  const glyph = { paired: "✔", silent: "▲", searching: "✖", none: "○" }[node.dataset.pairing];
  const facts = [];
  if (paired) {
    const since = `since ${clock(pairing.since)} (${age(now - pairing.since)})`;
    facts.push(`${since} · queue ${pairing.queue} · pairing ${pairing.epoch}`);
    const left =
      pairing.presence_ttl_s === null ? "is MISSING" : `expires in ${age(pairing.presence_ttl_s)}`;
    facts.push(`its key ${pairing.presence_key} ${left}`);
  } else if (pairing && pairing.loss) facts.push(pairing.loss);
  if (pairing && pairing.is_active) facts.push(`session ${pairing.session_id}`);
  show(node, [glyph, word, facts], () => [
    el("p", {}, el("span", { class: "glyph", "aria-hidden": "true" }, glyph), el("strong", {}, word)),
    ...facts.map((fact) => el("p", { class: "facts" }, fact)),
  ]);
}

export function showServices(overview) {
  const { redis, rabbitmq } = overview;
  const answers = redis.answers ? `answers in ${seconds(redis.latency_s)}` : redis.error;
  const memory = redis.answers ? ` · ${mebibytes(redis.used_memory_bytes)} · Redis ${redis.version}` : "";
  const rows = [["Redis", `${redis.address} ${answers}${memory}`]];
  if (redis.durability) rows.push(["durability", redis.durability]);
  if (rabbitmq) rows.push(["RabbitMQ", rabbitmq]);
  show(byId("services"), rows, () => rows.map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]).flat());
}

const RATES = ["accepted", "complete", "failed", "stalled", "skipped", "missed"];

export function showNight(snapshot, now) {
  const { overview, dead_letters: deadLetters } = snapshot;
  show(byId("rates"), overview.rates, (rates) =>
    RATES.map((name) =>
      el(
        "div",
        { "data-rate": name, "data-count": rates[name] ? "some" : "none" },
        el("dt", {}, name),
        el("dd", {}, rates[name]),
      ),
    ),
  );
  setText(byId("unfinished-count"), String(overview.unfinished));
  const waiting = overview.waiting
    .slice(0, 6)
    .map((image) => [image.obsid, image.state, age(now - image.since), image.waiting_on]);
  show(byId("unfinished"), waiting, () =>
    waiting.length
      ? waiting.map(([name, state, since, waitingOn]) =>
          el("li", { "data-state": state }, el("b", {}, name), ` ${since}: waits for ${waitingOn}`),
        )
      : el("li", { class: "none" }, "every accepted image is complete or failed"),
  );
  setText(byId("dead-letters-count"), String(overview.dead_letters));
  show(byId("dead-letters"), deadLetters, () =>
    deadLetters.length
      ? deadLetters.map((entry) =>
          el(
            "li",
            { title: `ccarchiver deadletter show ${entry.id}` },
            el("b", {}, entry.at.slice(11, 19)),
            ` ${entry.origin}${entry.obsid ? `, ${entry.obsid}` : ""}: ${entry.reason}`,
          ),
        )
      : el("li", { class: "none" }, "none"),
  );
}
