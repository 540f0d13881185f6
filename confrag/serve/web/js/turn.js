// A question and its answer.

import { h } from "./dom.js";
import { duration, plain } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { notice } from "./dialogs.js";
import { problemCard } from "./problems.js";
import { rich } from "./rich.js";
import { citation, coming, sourceCards } from "./sources.js";

/** The element of a turn. `retry` is offered where it can be asked again: null elsewhere. */
export function turnElement(turn, retry) {
  const asking = turn.state === "asking";
  return h(
    "article",
    { class: `turn ${turn.state}` },
    h(
      "div",
      { class: "question" },
      h("h2", { class: "sr-only" }, t("chat.you")),
      h("p", { class: "bubble", dir: "auto" }, turn.query),
      Object.keys(turn.filters ?? {}).length > 0 &&
        h(
          "p",
          { class: "question-filters" },
          icon("filter"),
          Object.entries(turn.filters)
            .map(([name, value]) => `${name}: ${plain(value)}`)
            .join(" · "),
        ),
    ),
    h(
      "div",
      { class: "answer", "aria-busy": String(asking) },
      h("h2", { class: "sr-only" }, t("chat.answer")),
      asking && !turn.text && waiting(),
      turn.text && h("div", { class: "answer-text", dir: "auto" }, rich(turn.text, asking ? coming : citation(turn.answer))),
      turn.state === "stopped" && h("p", { class: "muted small" }, t("chat.stopped")),
      turn.state === "failed" && problemCard(turn.problem, retry),
      // Below the text: what is known only now would push it away from who reads it.
      turn.answer && badges(turn.answer),
      turn.answer && sourceCards(turn.answer),
      !asking && foot(turn, retry),
    ),
  );
}

function waiting() {
  return h(
    "div",
    { class: "waiting" },
    h("p", { class: "shimmer" }, t("chat.searching")),
    [0, 1, 2].map((row) => h("div", { class: `skeleton line-${row}` })),
  );
}

function badges(answer) {
  const missing = Object.entries(answer.missing ?? {});
  const shown = [
    answer.cached && h("span", { class: "chip good", title: t("badge.cached.title") }, icon("bolt"), t("badge.cached")),
    answer.partial &&
      h(
        "span",
        { class: "chip warn", title: missing.map(([branch, reason]) => `${branch}: ${reason}`).join("\n") },
        icon("alert"),
        t("badge.partial", { missing: missing.map(([branch]) => branch).join(", ") }),
      ),
  ].filter(Boolean);
  return [
    shown.length > 0 && h("div", { class: "row badges" }, shown),
    answer.partial &&
      h(
        "ul",
        { class: "missing" },
        missing.map(([branch, reason]) => h("li", {}, h("strong", {}, branch), ` ${reason}`)),
      ),
    answer.rewritten &&
      h("p", { class: "rewritten" }, icon("search"), h("span", {}, t("badge.rewritten", { query: answer.rewritten }))),
  ];
}

function foot(turn, retry) {
  const copy =
    turn.text &&
    h("button", { class: "quiet small", type: "button", onclick: () => copied(turn.text) }, icon("copy"), t("copy"));
  const again =
    retry &&
    turn.state !== "failed" &&
    h("button", { class: "quiet small", type: "button", onclick: retry }, icon("retry"), t("retry"));
  return h("div", { class: "row answer-foot" }, copy, again, turn.answer && figures(turn.answer));
}

function figures({ timings_ms: times, tokens }) {
  const stages = ["rewrite", "retrieve", "rerank", "generate"].filter((stage) => times[stage] > 0);
  const each = stages.map((stage) => `${t(`stage.${stage}`)} ${duration(times[stage])}`).join(" · ");
  const spent =
    tokens.prompt + tokens.completion > 0 && t("tokens", { prompt: tokens.prompt, completion: tokens.completion });
  return h(
    "a",
    { class: "figures", href: "#/graph", title: t("figures.title") },
    h("strong", {}, duration(times.total)),
    each && h("span", {}, each),
    spent && h("span", {}, spent),
  );
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    notice(t("copied"));
  } catch {
    notice(t("copy.failed"), "bad"); // a page that did not come over https, or from this machine, may not
  }
}
