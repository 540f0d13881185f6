// The sources of an answer, as cards that open the document at the passage.

import { h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { showSource } from "./panel.js";

const SHOWN = 4;

/** The routes that found a source: its route names several with `+` between them. */
export function routesOf(source) {
  return source.route ? source.route.split("+") : [];
}

/** A button for a cited number; null where there is no such source. */
export function citation(answer) {
  return (row) => {
    const source = answer?.sources[row - 1];
    if (!source) return null;
    const label = t("source.open", { n: row, file: source.file });
    return h(
      "button",
      { class: "cite", type: "button", "aria-label": label, title: source.file, onclick: (event) => opened(event, source, row) },
      String(row),
    );
  };
}

/** A cited number whose source is not known yet, while the answer is written. */
export function coming(row) {
  return h("span", { class: "cite" }, String(row));
}

/** The cards; those that the answer cites come with a mark, the rest beyond the first few behind a button. */
export function sourceCards(answer) {
  const { sources, citations } = answer;
  if (!sources.length) return null;
  const cards = sources.map((source, row) => card(source, row + 1, citations.includes(row + 1)));
  cards.slice(SHOWN).forEach((each) => (each.hidden = true));
  const rest = sources.length - SHOWN;
  const all = h("button", { class: "plain small", type: "button" }, t("sources.more", { n: rest }));
  all.onclick = () => {
    cards.forEach((each) => (each.hidden = false));
    cards[SHOWN].querySelector("button").focus();
    all.remove();
  };
  return h(
    "section",
    { class: "sources", "aria-label": t("sources") },
    h("h3", {}, t("sources"), h("span", { class: "count" }, String(sources.length))),
    h("ol", { class: "cards" }, cards),
    rest > 0 && all,
  );
}

function card(source, row, cited) {
  return h(
    "li",
    { class: cited ? "card cited" : "card" },
    h(
      "button",
      {
        class: "card-open",
        type: "button",
        title: t("source.open", { n: row, file: source.file }),
        onclick: (event) => opened(event, source, row),
      },
      h(
        "span",
        { class: "card-head" },
        h("span", { class: "card-number" }, String(row)),
        h("span", { class: "card-file" }, source.file),
        source.metadata?.page !== undefined &&
          h("span", { class: "card-page" }, t("source.page", { n: source.metadata.page })),
        h("span", { class: "card-arrow" }, icon("chevron")),
      ),
      h("span", { class: "card-text" }, source.text),
      h(
        "span",
        { class: "card-foot" },
        routesOf(source).map((route) => h("span", { class: "chip route" }, route)),
        source.score !== null && score("source.score", source.score),
        source.rerank_score !== null && score("source.rerank", source.rerank_score),
      ),
    ),
  );
}

/** Show the source, and mark its card for as long as it is shown. */
function opened({ currentTarget }, source, row) {
  showSource(source);
  document.querySelectorAll(".card.shown").forEach((each) => each.classList.remove("shown"));
  currentTarget.closest(".answer").querySelectorAll(".card")[row - 1].classList.add("shown");
}

function score(key, value) {
  return h("span", { class: "score", title: t(`${key}.title`) }, `${t(key)} ${number(value, 2)}`);
}
