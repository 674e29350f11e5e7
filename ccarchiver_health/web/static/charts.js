// Small charts as inline SVG: histograms of the stages, and times of the last exposures' CCDs.

import { byId, el, show, svg } from "./dom.js";
import { seconds } from "./format.js";

const ROWS = [
  ["archiver sends", ["send_new_item", "send_xfer_params", "send_end_readout", "send_header_ready"]],
  ["peer answers", ["answer_new_item", "answer_xfer_params", "answer_end_readout", "answer_header_ready"]],
  ["files", ["retrieve", "ingest", "image"]],
];

const NAMES = {
  send_new_item: "new item",
  answer_new_item: "Controller, new item",
  send_xfer_params: "transfer parameters",
  answer_xfer_params: "Forwarder, parameters",
  send_end_readout: "end of readout",
  answer_end_readout: "Forwarder, readout",
  send_header_ready: "header ready",
  answer_header_ready: "Forwarder, header",
  retrieve: "nine CCDs retrieved",
  ingest: "nine CCDs ingested",
  image: "image complete",
};

const WIDTH = 150;
const HEIGHT = 34;
const TICKS = [0.01, 0.1, 1, 10];

export function showLatencies(bounds, latencies) {
  show(byId("latencies"), latencies, () => {
    const found = new Map(latencies.map((latency) => [latency.stage, latency]));
    return ROWS.map(([title, names]) =>
      el(
        "div",
        { class: "row", "data-row": title },
        el("h3", {}, title),
        ...names.filter((name) => found.has(name)).map((name) => histogram(bounds, found.get(name))),
      ),
    );
  });
}

// Return the index of the bucket that contains a quantile; the last bucket has no upper bound.
function quantile(bounds, counts, total, share) {
  let sum = 0;
  for (let place = 0; place < counts.length; place += 1) {
    sum += counts[place];
    if (sum >= share * total) return place;
  }
  return counts.length - 1;
}

function histogram(bounds, { stage, counts, total_s: totalS }) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const upTo = (place) => (place < bounds.length ? `≤ ${seconds(bounds[place])}` : `> ${seconds(bounds.at(-1))}`);
  const half = quantile(bounds, counts, total, 0.5);
  const most = quantile(bounds, counts, total, 0.9);
  const facts = total ? `p50 ${upTo(half)}, p90 ${upTo(most)}` : "none yet";
  const name = NAMES[stage] ?? stage;
  const mean = total ? `, mean ${seconds(totalS / total)}` : "";
  const chart = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT + 9}`,
    role: "img",
    "aria-label": `${name}: ${facts}${mean}, ${total} measured`,
  });
  const step = WIDTH / counts.length;
  const highest = Math.max(1, ...counts);
  counts.forEach((count, place) => {
    // Heights are square roots, so that rare values are visible.
    const height = count ? Math.max(1.5, Math.sqrt(count / highest) * HEIGHT) : 0.5;
    const kind = !count ? "bar empty" : place === half ? "bar half" : "bar";
    const box = { x: place * step + 0.5, y: HEIGHT - height, width: step - 1, height, class: kind };
    chart.append(svg("rect", box, svg("title", {}, `${upTo(place)}: ${count}`)));
  });
  for (const tick of TICKS) {
    const x = (bounds.indexOf(tick) + 1) * step;
    chart.append(svg("text", { x, y: HEIGHT + 8, class: "tick" }, seconds(tick)));
  }
  return el(
    "figure",
    { "data-stage": stage },
    el("figcaption", {}, el("b", {}, name), el("span", {}, `${total}`)),
    chart,
    el("p", { class: "facts" }, facts),
  );
}

const LOWEST_S = 0.01;
const LEAST_TOP_S = 1; // minimum of the upper end, which is a power of ten
const PLOT = { width: 420, height: 290, left: 44, bottom: 18, top: 8 };

// Return a logarithmic scale for these images: a function from seconds to a height, and grid lines.
function scaleFor(recent) {
  const times = recent.flatMap(({ summary, ccds }) =>
    ccds
      .flatMap((ccd) => [ccd.retrieved_at, ccd.ingested_at])
      .map((at) => (at ? at - (summary.last_event_at ?? summary.at) : 0)),
  );
  const top = 10 ** Math.ceil(Math.log10(Math.max(LEAST_TOP_S, ...times)));
  const decades = Math.log10(top / LOWEST_S);
  const heightOf = (value) => {
    const share = Math.log10(Math.max(LOWEST_S, value) / LOWEST_S) / decades;
    return PLOT.height - PLOT.bottom - share * (PLOT.height - PLOT.bottom - PLOT.top);
  };
  const lines = Array.from({ length: Math.round(decades) + 1 }, (_, place) => LOWEST_S * 10 ** place);
  return { heightOf, lines };
}

export function showRecent(recent) {
  show(byId("recent"), recent.map((image) => [image.summary.obsid, image.summary.last_event_at, image.ccds]), () => {
    const chart = svg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": spoken(recent) });
    const { heightOf, lines } = scaleFor(recent);
    for (const line of lines) {
      const y = heightOf(line);
      chart.append(svg("line", { x1: PLOT.left, x2: PLOT.width, y1: y, y2: y, class: "grid" }));
      chart.append(svg("text", { x: PLOT.left - 4, y: y + 3, class: "tick right" }, seconds(line)));
    }
    const step = (PLOT.width - PLOT.left) / Math.max(1, recent.length);
    recent.forEach((image, place) => chart.append(column(image, PLOT.left + place * step, step, heightOf)));
    return chart;
  });
}

function spoken(recent) {
  return `Seconds from the last event to each CCD's retrieval and ingest, for ${recent.length} images`;
}

function column({ summary, ccds }, left, step, heightOf) {
  const group = svg("g", {}, svg("title", {}, summary.obsid));
  const since = summary.last_event_at ?? summary.at;
  const inner = step * 0.7;
  ccds.forEach((ccd, place) => {
    const x = left + step * 0.15 + (inner * (place + 0.5)) / Math.max(1, ccds.length);
    if (ccd.retrieved_at) {
      group.append(svg("circle", { cx: x, cy: heightOf(ccd.retrieved_at - since), r: 2.6, class: "dot retrieved" }));
    }
    if (ccd.ingested_at) {
      const y = heightOf(ccd.ingested_at - since);
      group.append(svg("rect", { x: x - 2.1, y: y - 2.1, width: 4.2, height: 4.2, class: "dot ingested" }));
    }
    if (ccd.state === "failed") {
      const y = PLOT.top + 4;
      group.append(svg("path", { d: `M${x - 2.5} ${y - 2.5}l5 5m0 -5l-5 5`, class: "dot failed" }));
    }
  });
  const label = (/(\d{1,4})$/u.exec(summary.obsid) ?? ["", "·"])[1].replace(/^0+(?=\d)/u, "");
  group.append(svg("text", { x: left + step / 2, y: PLOT.height - 4, class: "tick middle" }, label));
  return group;
}
