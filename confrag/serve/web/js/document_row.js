// A document in the list, and what can be done with it.

import { fill, h } from "./dom.js";
import { moment, number, plain, size } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { editMetadata } from "./metadata_editor.js";
import { showPairs } from "./pairs.js";
import { showDocument } from "./panel.js";

const SHOWN = 4;

/** The row of `document_`; `actions` are those of the view. */
export function documentRow(document_, actions) {
  const { id, name, status, metadata = {} } = document_;
  const kind = name.includes(".") ? name.split(".").pop().slice(0, 4) : "";
  const tags = Object.entries(metadata);
  return h(
    "div",
    { class: `document ${status}`, role: "listitem", "data-id": id },
    h("span", { class: "kind", "aria-hidden": "true" }, kind),
    h(
      "div",
      { class: "document-main" },
      h(
        "button",
        {
          class: "document-name",
          type: "button",
          title: t("documents.read", { name }),
          onclick: () => showDocument(id, name),
        },
        h("span", { class: "clamped" }, name),
      ),
      h("p", { class: "document-facts" }, facts(document_)),
      status === "failed" && h("p", { class: "reason" }, document_.reason || t("documents.no_reason")),
      tags.length > 0 &&
        h(
          "p",
          { class: "tags" },
          tags
            .slice(0, SHOWN)
            .map(([key, value]) => h("span", { class: "chip tag" }, h("b", {}, key), ` ${plain(value)}`)),
          tags.length > SHOWN && h("span", { class: "chip tag" }, `+${tags.length - SHOWN}`),
        ),
    ),
    statusChip(status),
    tools(document_, actions),
  );
}

function facts({ size: bytes, modified, origin, nodes = {} }) {
  const counts = Object.entries(nodes).map(([group, count]) => `${number(count)}\u00a0${group}`);
  return [size(bytes ?? 0), modified && moment(modified), t(`origin.${origin}`), ...counts].filter(Boolean).join(" · ");
}

function statusChip(status) {
  const signs = {
    success: icon("check"),
    failed: icon("alert"),
    working: h("span", { class: "spinner", "aria-hidden": "true" }),
    deleting: h("span", { class: "spinner", "aria-hidden": "true" }),
  };
  return h("span", { class: `chip status ${status}` }, signs[status] ?? null, t(`status.${status}`));
}

function tools(document_, actions) {
  const { name } = document_;
  const tool = (sign, key, work, needsWrite = true) =>
    h(
      "button",
      {
        class: sign === "trash" ? "quiet round bad" : "quiet round",
        type: "button",
        title: t(key),
        "aria-label": `${t(key)}: ${name}`,
        disabled: (needsWrite && !actions.write) || document_.status === "deleting",
        onclick: work,
      },
      icon(sign),
    );
  const box = h("div", { class: "document-tools" });
  return fill(
    box,
    actions.writes && tool("question", "pairs", () => showPairs(document_, actions), false),
    tool("tag", "metadata", async () => {
      const metadata = await editMetadata(document_, actions.fields);
      if (metadata) await actions.setMetadata(document_, metadata);
    }),
    tool("retry", "documents.reparse", () => actions.reparse(document_)),
    tool("trash", "documents.delete", () => actions.remove(document_)),
  );
}
