// The view of figures: corpus, cache, requests.

import { api } from "./api.js";
import { ingestState } from "./documents.js";
import { fill, h, repeated, svg } from "./dom.js";
import { number, span } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemCard } from "./problems.js";

const PAUSE_MS = 3000;
const ROUND = 2 * Math.PI * 42;

/** Show the figures. Returns what ends the view. */
export function statistics(main) {
  const body = h(
    "div",
    { class: "figures-grid" },
    Array.from({ length: 4 }, () => h("div", { class: "skeleton tile-skeleton" })),
  );
  let shown = "";
  fill(main, h("div", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, t("nav.statistics"))), body));
  async function refresh() {
    try {
      const stats = await api.stats();
      if (JSON.stringify(stats) !== shown)
        fill(
          body,
          tiles(stats),
          corpus(stats),
          cache(stats.cache),
          requests(stats.requests),
          failed(stats.corpus.failed ?? []),
        );
      shown = JSON.stringify(stats);
    } catch (problem) {
      shown = "";
      fill(body, problemCard(problem, refresh));
    }
  }
  return repeated(refresh, PAUSE_MS);
}

function tiles({ corpus: { files, version, nodes }, uptime_s: uptime, conf, collection }) {
  const all = Object.values(nodes).reduce((sum, count) => sum + count, 0);
  const tile = (label, value, below) =>
    h(
      "div",
      { class: "surface tile" },
      h("p", { class: "tile-label" }, label),
      h("p", { class: "tile-value" }, value),
      below && h("p", { class: "tile-below" }, below),
    );
  return h(
    "div",
    { class: "tiles" },
    tile(t("stats.files"), number(files), t("stats.version", { version })),
    tile(t("stats.nodes"), number(all), t("stats.groups", { n: Object.keys(nodes).length })),
    tile(t("stats.uptime"), span(uptime), conf),
    tile(t("stats.collection"), collection.slice(0, 8), t("stats.collection.text")),
  );
}

function corpus({ corpus: { nodes }, ingest }) {
  const most = Math.max(...Object.values(nodes), 1);
  return h(
    "section",
    { class: "surface" },
    h("h2", {}, t("stats.by_group")),
    ingestState(ingest),
    h(
      "dl",
      { class: "bars" },
      Object.entries(nodes).map(([group, count]) =>
        h(
          "div",
          {},
          h("dt", {}, group),
          h("dd", {}, number(count)),
          h("span", { class: "bar", style: { "--length": `${(100 * count) / most}%` } }),
        ),
      ),
    ),
  );
}

function cache(figures) {
  const title = h("h2", {}, t("stats.cache"));
  if (!figures) return h("section", { class: "surface" }, title, h("p", { class: "muted" }, t("stats.no_cache")));
  const { hits = 0, misses = 0, saved_s: saved = 0, entries, evictions, saved_tokens: tokens } = figures;
  const rate = hits + misses ? hits / (hits + misses) : 0;
  const rows = { hits, misses, entries, evictions, saved_tokens: tokens };
  return h(
    "section",
    { class: "surface high" },
    title,
    h(
      "div",
      { class: "cache" },
      svg(
        "svg",
        {
          class: "donut",
          viewBox: "0 0 100 100",
          role: "img",
          "aria-label": t("stats.rate", { rate: number(100 * rate) }),
        },
        svg("circle", { class: "donut-rest", cx: 50, cy: 50, r: 42 }),
        rate > 0 &&
          svg("circle", { class: "donut-part", cx: 50, cy: 50, r: 42, "stroke-dasharray": `${rate * ROUND} ${ROUND}` }),
        svg("text", { x: 50, y: 56, "text-anchor": "middle" }, `${number(100 * rate)}%`),
      ),
      h(
        "dl",
        { class: "pairs-list" },
        Object.entries(rows)
          .filter(([, value]) => value !== undefined)
          .map(([key, value]) => line(t(`cache.${key}`), number(value))),
        line(t("cache.saved_s"), `${number(saved, 1)} s`),
      ),
    ),
  );
}

/** The counts of requests, whatever they are called: nested ones with their path. */
function requests(figures) {
  const rows = flat(figures ?? {});
  if (!rows.length) return null;
  return h(
    "section",
    { class: "surface" },
    h("h2", {}, t("stats.requests")),
    h(
      "dl",
      { class: "pairs-list" },
      rows.map(([key, value]) => line(named(key), typeof value === "number" ? number(value, 2) : String(value))),
    ),
  );
}

function flat(values, path = "") {
  return Object.entries(values).flatMap(([key, value]) => {
    if (value === null || value === undefined) return [];
    return typeof value === "object" ? flat(value, `${path}${key} `) : [[`${path}${key}`, value]];
  });
}

function named(key) {
  const known = t(`requests.${key}`);
  return known === `requests.${key}` ? key.replaceAll("_", " ") : known;
}

function failed(files) {
  if (!files.length) return null;
  return h(
    "section",
    { class: "surface" },
    h("h2", {}, t("stats.failed"), h("span", { class: "count" }, String(files.length))),
    h(
      "ul",
      { class: "failed-files" },
      files.map(({ file, reason }) =>
        h("li", {}, icon("alert"), h("div", {}, h("p", {}, file), h("p", { class: "reason" }, reason))),
      ),
    ),
  );
}

function line(label, value) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, value));
}
