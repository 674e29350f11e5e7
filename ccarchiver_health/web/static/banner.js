// The banner: large enough to read from a distance.

import { byId, setText } from "./dom.js";
import { age, clock, plural } from "./format.js";

const CSC_GLYPHS = { ENABLED: "▶", DISABLED: "❚❚", STANDBY: "○", OFFLINE: "□", FAULT: "✖" };
const VERDICTS = {
  well: ["✔", "ALL WELL"],
  warning: ["▲", "WARNING"],
  critical: ["✖", "CRITICAL"],
  unknown: ["?", "UNKNOWN"],
};
const CSC_SILENT_S = 10; // the CSC updates its record every second

export function showBanner(snapshot, now) {
  const { overview, alarms } = snapshot;
  setText(byId("archiver"), overview.archiver);
  setText(byId("version"), `ccarchiver ${overview.version}`);
  if (overview.redis.answers) showCsc(overview.csc, now);
  const critical = alarms.filter((alarm) => alarm.severity === "critical").length;
  const warnings = alarms.length - critical;
  const counts = [critical && `${critical} critical`, warnings && plural(warnings, "warning")].filter(Boolean);
  showVerdict(snapshot.verdict, counts.join(", ") || "no active alarms");
}

function showCsc(csc, now) {
  const state = csc ? csc.state : "NO CSC YET";
  const silent = csc ? now - csc.seen_at : 0;
  let text = "";
  if (csc && csc.error_code) text = `${csc.error_code}: ${csc.error_report}`;
  else if (csc && silent > CSC_SILENT_S) text = `no heartbeat for ${age(silent)}`;
  else if (csc) text = "CSC state";
  put(byId("csc"), CSC_GLYPHS[state] ?? "?", state, text);
  byId("csc").dataset.state = CSC_GLYPHS[state] ? state : "UNKNOWN";
  byId("csc").dataset.silent = String(silent > CSC_SILENT_S);
}

export function showVerdict(verdict, text) {
  const [glyph, word] = VERDICTS[verdict];
  put(byId("verdict"), glyph, word, text);
  byId("verdict").dataset.verdict = verdict;
}

function put(node, glyph, word, text) {
  setText(node.querySelector(".glyph"), glyph);
  setText(node.querySelector("strong"), word);
  setText(node.querySelector("p"), text);
  node.title = text; // the complete text: the banner shows only two lines of it
}

// Return the most severe reason why the values on the page may be old: kind and text, both empty
// if there is none.
function noticeOf(link, snapshot, problem, lastGood) {
  const since = lastGood ? `; the values below are from ${clock(lastGood)} UTC` : "";
  if (link.isStale) {
    const what = link.hasData ? `No data for ${age(link.silentMs / 1000)}` : "No connection yet";
    const reason = "the status server is stopped, hangs, is unreachable, or has too many open pages";
    return ["stale", `${what}: ${reason}. Retrying${since}.`];
  }
  if (problem) return ["problem", `The status server cannot read the archiver's state: ${problem}${since}.`];
  if (snapshot && !snapshot.overview.redis.answers) {
    const { address, error } = snapshot.overview.redis;
    return ["redis", `Redis at ${address} ${error}${since}.`];
  }
  return ["", ""];
}

export function showLink(link, snapshot, problem, lastGood) {
  const [kind, text] = noticeOf(link, snapshot, problem, lastGood);
  const notice = byId("notice");
  notice.hidden = !kind;
  setText(notice, text);
  document.body.dataset.link = kind || (link.hasData ? "live" : "waiting");
  if (kind === "stale") showVerdict("unknown", "the values below are old");
  setText(byId("clock"), link.serverTime ? clock(link.now()) : "--:--:--");
  const live = link.hasData ? "live · UTC" : "connecting";
  setText(byId("live"), kind === "stale" ? `stale for ${age(link.silentMs / 1000)}` : live);
  const state = byId("csc").querySelector("strong").textContent;
  const glyph = byId("verdict").querySelector(".glyph").textContent;
  document.title = `${glyph} ${state} · ${byId("archiver").textContent}`;
}
