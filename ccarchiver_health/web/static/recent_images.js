// The row of the last exposures, each with its CCDs arranged as in the raft.

import { byId, el, setText } from "./dom.js";
import { age, clock, seconds } from "./format.js";

export const CELLS = {
  waiting: ["W", "waiting"],
  retrieved: ["R", "retrieved"],
  ingested: ["I", "ingested"],
  failed: ["F", "failed"],
};

const STATES = {
  accepted: ["…", "open"],
  complete: ["✔", "complete"],
  failed: ["✖", "failed"],
  stalled: ["▲", "stalled"],
  skipped: ["○", "skipped"],
  unannounced: ["?", "unannounced"],
  missed: ["!", "missed"],
  dismissed: ["⊘", "dismissed"],
  unreadable: ["✖", "unreadable"],
};

const NUMBERED = /^(.*_)(\d+)$/su;

// Cards by image name. An image keeps its card, so that the card keeps the focus.
const cards = new Map();
let openImage = () => {};
let chosen = ""; // the image whose card has the tab stop

export function startRecentImages(onOpen) {
  openImage = onOpen;
  byId("legend").replaceChildren(
    ...Object.entries(CELLS).map(([state, [letter, word]]) => el("li", {}, cell({ state }, letter), word)),
  );
  byId("recent-images").addEventListener("keydown", moveFocus);
}

export function stateWord(state) {
  return (STATES[state] ?? ["?", state]).join(" ");
}

export function cell(ccd, letter) {
  return el("span", { class: "cell", "data-ccd": ccd.state, "aria-hidden": "true" }, letter);
}

export function ccdTitle(ccd) {
  const name = `${ccd.raft} ${ccd.sensor}`.trim() || ccd.filename || "file without a name";
  const reason = ccd.state === "failed" ? ` (${ccd.code} ${ccd.description})` : "";
  return `${name}: ${(CELLS[ccd.state] ?? ["?", ccd.state])[1]}${reason}`;
}

export function showRecentImages(recent, now) {
  byId("no-exposures").hidden = recent.length > 0;
  const names = recent.map((image) => image.summary.obsid);
  for (const name of cards.keys()) {
    if (!names.includes(name)) {
      cards.get(name).remove();
      cards.delete(name);
    }
  }
  recent.forEach((image, place) => {
    const card = cardOf(image.summary.obsid);
    update(card, image, now);
    const list = byId("recent-images");
    if (list.children[place] !== card) list.insertBefore(card, list.children[place] ?? null);
  });
  if (!cards.has(chosen) || !isShown(cards.get(chosen))) chosen = names[0] ?? "";
  for (const [name, card] of cards) card.firstElementChild.tabIndex = name === chosen ? 0 : -1;
}

// A narrow screen shows fewer cards.
function isShown(node) {
  return node.offsetParent !== null;
}

function cardOf(name) {
  let card = cards.get(name);
  if (card) return card;
  const [, prefix, number] = NUMBERED.exec(name) ?? [null, "", name];
  card = el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "card", title: name, tabindex: -1 },
      el("span", { class: "prefix" }, prefix || " "),
      el("span", { class: "number" }, number),
      el("span", { class: "cells" }),
      el("span", { class: "state" }),
      el("span", { class: "facts" }),
    ),
  );
  const button = card.firstElementChild;
  button.dataset.image = name;
  button.addEventListener("click", () => openImage(name));
  button.addEventListener("focus", () => {
    if (cards.has(chosen)) cards.get(chosen).firstElementChild.tabIndex = -1;
    chosen = name;
    button.tabIndex = 0;
  });
  cards.set(name, card);
  return card;
}

function update(card, image, now) {
  const button = card.firstElementChild;
  const { summary, ccds } = image;
  button.dataset.state = summary.state;
  const cells = button.querySelector(".cells");
  while (cells.children.length > ccds.length) cells.lastElementChild.remove();
  ccds.forEach((ccd, place) => {
    const node = cells.children[place] ?? cells.appendChild(cell(ccd, ""));
    const [letter] = CELLS[ccd.state] ?? ["?"];
    node.dataset.ccd = ccd.state;
    setText(node, letter);
    node.title = ccdTitle(ccd);
  });
  setText(button.querySelector(".state"), stateWord(summary.state));
  setText(button.querySelector(".facts"), factsOf(image, now));
  const done = ccds.filter((ccd) => ccd.state === "ingested").length;
  const failed = ccds.filter((ccd) => ccd.state === "failed").length;
  const bad = failed ? `, ${failed} failed` : "";
  const ingested = `${done} of ${ccds.length} CCDs ingested${bad}`;
  button.setAttribute(
    "aria-label",
    `${summary.obsid}, ${stateWord(summary.state)}, ${ingested}. Enter opens its timeline.`,
  );
}

function factsOf({ summary, waiting_on: waitingOn }, now) {
  if (summary.state === "complete" && summary.finished && summary.last_event_at) {
    return `${clock(summary.at)}\nin ${seconds(Math.max(0, summary.finished - summary.last_event_at))}`;
  }
  if (summary.state === "accepted" || summary.state === "stalled") {
    return `${age(now - summary.at)}: ${waitingOn}`;
  }
  // The reason does not fit: the timeline shows it.
  if (summary.state === "failed") return `${clock(summary.at)}\n${summary.failed_code || ""}`;
  return clock(summary.at);
}

function moveFocus(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  const buttons = [...byId("recent-images").querySelectorAll("button")].filter(isShown);
  const here = buttons.indexOf(document.activeElement);
  if (here < 0) return;
  event.preventDefault();
  buttons[Math.min(buttons.length - 1, Math.max(0, here + steps[event.key]))].focus();
}
