// The steps of an answer over time.

import { h } from "./dom.js";
import { duration } from "./format.js";
import { t } from "./i18n.js";

/** A stage in the user's language; one that is not known as it is. */
function stageName(stage) {
  const name = t(`stage.${stage}`);
  return name === `stage.${stage}` ? stage : name;
}

/** A list of spans `{stage, name, start_ms, ms}`, as bars one below the other. */
export function waterfall(spans) {
  const end = Math.max(...spans.map(({ start_ms: start, ms }) => start + ms), 0.001);
  const part = (value) => `${((100 * value) / end).toFixed(2)}%`;
  const rows = [...spans].sort((a, b) => a.start_ms - b.start_ms);
  return h(
    "ol",
    { class: "waterfall", "aria-label": t("graph.waterfall") },
    rows.map(({ stage, name, start_ms: start, ms }) =>
      h(
        "li",
        { title: t("graph.span", { start: duration(start), ms: duration(ms) }) },
        h(
          "span",
          { class: "span-name" },
          name,
          name !== stage && h("span", { class: "muted" }, ` ${stageName(stage)}`),
        ),
        h("span", { class: "span-ms" }, duration(ms)),
        h(
          "span",
          { class: "span-track" },
          h("span", { class: `span-bar ${stage}`, style: { "--start": part(start), "--length": part(ms) } }),
        ),
      ),
    ),
  );
}
