// The panel at the side, which shows a document at a passage.

import { api } from "./api.js";
import { cover } from "./cover.js";
import { fill, h } from "./dom.js";
import { plain } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const PAGE = 100;
const MOST_PAGES = 50;

const panel = document.getElementById("panel");
let opener = null;
let reading = null;
let uncover = () => {};

/** Open a document at the passage of a source `{id, file, file_id, group, text, metadata}`. */
export async function showSource(source) {
  const body = open(source.file, t("panel.loading"));
  const controller = (reading = new AbortController());
  try {
    const found = await find(source, controller.signal);
    if (controller.signal.aborted) return;
    if (found) passages(body, source, found);
    else alone(body, source);
  } catch (error) {
    if (!controller.signal.aborted) alone(body, source, error);
  }
}

/** Open a document at its beginning. */
export function showDocument(id, name) {
  return showSource({ file: name, file_id: id });
}

/** Close the panel and give the focus back. */
export function closePanel() {
  if (panel.hidden) return false;
  reading?.abort();
  panel.hidden = true;
  uncover();
  document.body.classList.remove("with-panel");
  if (opener?.isConnected) opener.focus();
  return true;
}

function open(title, subtitle) {
  reading?.abort();
  if (panel.hidden) opener = document.activeElement;
  const heading = h("h2", { class: "clamped", tabindex: -1, id: "panel-title", title }, title);
  const body = h(
    "div",
    { class: "panel-body", tabindex: 0, "aria-labelledby": "panel-title", role: "region" },
    Array.from({ length: 5 }, (_, row) => h("div", { class: `skeleton line-${row}` })),
  );
  fill(
    panel,
    h(
      "div",
      { class: "panel-head" },
      icon("file"),
      h("div", { class: "panel-titles" }, heading, h("p", { class: "panel-sub", id: "panel-sub" }, subtitle)),
      h(
        "button",
        { class: "quiet round", type: "button", "aria-label": t("close"), onclick: closePanel },
        icon("close"),
      ),
    ),
    body,
  );
  panel.setAttribute("aria-labelledby", "panel-title");
  const before = opener.getBoundingClientRect().top;
  panel.hidden = false;
  document.body.classList.add("with-panel");
  // The column has become narrower and its text longer: what was clicked stays where it was.
  const scroller = opener.closest(".thread-scroll");
  if (scroller) scroller.scrollTop += opener.getBoundingClientRect().top - before;
  uncover();
  uncover = cover(...["skip", "top", "main"].map((id) => document.getElementById(id)));
  heading.focus();
  return body;
}

/** The page of passages that holds the source's; of a document without a passage to find, the first one. */
async function find(source, signal) {
  if (!source.file_id) return null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const found = await api.passages(source.file_id, { group: source.group, limit: PAGE, offset: page * PAGE }, signal);
    if (!source.id || found.passages.some((passage) => passage.id === source.id))
      return { ...found, offset: page * PAGE };
    if ((page + 1) * PAGE >= found.total) return null;
  }
  return null;
}

function passages(body, source, found) {
  const hit = found.passages.findIndex((passage) => passage.id === source.id);
  const place =
    hit < 0
      ? t("panel.passages", { n: found.total })
      : t("panel.passage", { n: found.offset + hit + 1, total: found.total });
  document.getElementById("panel-sub").textContent = found.group ? `${place} · ${found.group}` : place;
  if (!found.total) {
    fill(body, h("p", { class: "muted" }, t("panel.empty")));
    return;
  }
  const texts = found.passages.map((passage, row) => passageOf(passage, found.offset + row + 1, row === hit && source));
  fill(body, texts, more(body, source, found));
  const wanted = texts[Math.max(hit, 0)];
  wanted.scrollIntoView({ block: hit < 0 || wanted.offsetHeight > body.clientHeight * 0.8 ? "start" : "center" });
}

function more(body, source, found) {
  let end = found.offset + found.passages.length;
  if (end >= found.total) return null;
  const button = h("button", { class: "plain wide", type: "button" }, t("panel.more"));
  button.onclick = async () => {
    const next = await api.passages(source.file_id, { group: found.group, limit: PAGE, offset: end });
    button.before(...next.passages.map((passage, row) => passageOf(passage, end + row + 1, null)));
    end += next.passages.length;
    if (end >= found.total || !next.passages.length) button.remove();
  };
  return button;
}

function passageOf(passage, number, source) {
  return h(
    "section",
    { class: source ? "passage hit" : "passage", "aria-current": source ? "true" : null },
    h("p", { class: "passage-number" }, source ? t("panel.here", { n: number }) : String(number)),
    h("p", { class: "passage-text" }, passage.text),
    source && metadata(source.metadata),
  );
}

/** The source's own text, where the document cannot be had: it may have been deleted since. */
function alone(body, source, error = null) {
  document.getElementById("panel-sub").textContent = source.group ?? "";
  fill(
    body,
    h("p", { class: "hint" }, icon("alert"), t(error?.status === 404 || !error ? "panel.gone" : "panel.failed")),
    source.text &&
      h("section", { class: "passage hit" }, h("p", { class: "passage-text" }, source.text), metadata(source.metadata)),
  );
}

/** Metadata as a small table; null where there is none. */
export function metadata(values = {}) {
  const rows = Object.entries(values);
  return rows.length
    ? h(
        "dl",
        { class: "metadata" },
        rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, plain(value)))),
      )
    : null;
}
