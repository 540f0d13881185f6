// The view of the graph: what the configuration compiles to, and what the last question did in it.

import { api } from "./api.js";
import { drawing } from "./drawing.js";
import { fill, h } from "./dom.js";
import { duration } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemCard } from "./problems.js";
import { showSource } from "./panel.js";
import { routesOf } from "./sources.js";
import { waterfall } from "./waterfall.js";

/** Show the graph. Returns what ends the view. */
export function graph(main, { conversations }) {
  const canvas = h(
    "div",
    { class: "canvas", tabindex: 0, role: "region", "aria-label": t("graph.canvas") },
    h("div", { class: "skeleton canvas-skeleton" }),
  );
  const title = h("h1", {}, t("nav.graph"));
  const side = h("div", { class: "graph-side" });
  fill(
    main,
    h(
      "div",
      { class: "page wide" },
      h("div", { class: "page-head" }, title),
      h("div", { class: "graph-grid" }, h("section", { class: "surface" }, canvas, legend()), side),
    ),
  );
  let described;

  function draw() {
    const answer = conversations.lastAnswer;
    if (described && canvas.clientWidth) fill(canvas, drawing(described, answer, canvas.clientWidth - 32));
    fill(
      side,
      answer
        ? lastQuestion(answer)
        : h(
            "section",
            { class: "surface empty" },
            icon("bolt"),
            h("p", { class: "empty-title" }, t("graph.none")),
            h("p", {}, t("graph.none.text")),
            h("a", { class: "button plain", href: "#/chat" }, t("graph.ask")),
          ),
    );
  }

  async function load() {
    try {
      described = await api.graph();
      fill(title, t("nav.graph"), h("span", { class: "count" }, described.name));
      draw();
    } catch (problem) {
      fill(canvas, problemCard(problem, load));
    }
  }

  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  const answered = ({ detail }) => detail?.state === "done" && draw();
  conversations.addEventListener("turn", answered);
  load();
  return () => {
    resized.disconnect();
    conversations.removeEventListener("turn", answered);
  };
}

function legend() {
  return h(
    "ul",
    { class: "legend" },
    ["data", "route", "flow", "model", "end"].map((family) => h("li", { class: family }, t(`graph.${family}`))),
  );
}

function lastQuestion(answer) {
  const total = answer.timings_ms.total;
  return [
    h(
      "section",
      { class: "surface" },
      h("h2", {}, t("graph.last")),
      h("p", { class: "last-query" }, answer.query),
      h("p", { class: "muted small" }, answer.cached ? `${t("badge.cached")} · ${duration(total)}` : duration(total)),
      answer.spans?.length ? waterfall(answer.spans) : h("p", { class: "muted small" }, t("graph.no_spans")),
    ),
    h(
      "section",
      { class: "surface" },
      h("h2", {}, t("graph.routes")),
      answer.sources.length
        ? h(
            "ol",
            { class: "route-list" },
            answer.sources.map((source) =>
              h(
                "li",
                {},
                h(
                  "button",
                  { type: "button", onclick: () => showSource(source) },
                  h("span", { class: "route-file clamped", title: source.file }, source.file),
                  routesOf(source).map((route) => h("span", { class: "chip route" }, route)),
                ),
              ),
            ),
          )
        : h("p", { class: "muted small" }, t("graph.no_sources")),
    ),
  ];
}
