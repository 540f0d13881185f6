// The view of the documents: list, search, upload.

import { api } from "./api.js";
import { confirmed, notice } from "./dialogs.js";
import { documentRow } from "./document_row.js";
import { debounced, fill, h, refill } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemCard, report } from "./problems.js";
import { uploads } from "./uploads.js";

const PAGE = 50;
const BUSY_MS = 700;
const IDLE_MS = 10_000;
const STATUSES = ["waiting", "working", "success", "failed"];

/** Show the documents. Returns what ends the view. */
export function documents(main, { about, stats, groups }) {
  const asked = { search: "", status: "", offset: 0 };
  const table = h("div", { class: "rows", role: "list", "aria-label": t("nav.documents"), tabindex: -1 }, skeletons());
  const state = h("div", { class: "ingest", role: "status" });
  const pages = h("nav", { class: "pages", "aria-label": t("pages") });
  const hidden = h("div", { class: "hidden-files" });
  const total = h("span", { class: "count" });
  const told = h("p", { class: "sr-only", role: "status" });
  let shown = "";
  let busy = true;
  let over = false;
  let timer;
  let controller;

  const actions = {
    write: about.ui.write,
    writes: groups.some((group) => group.model),
    fields: stats?.doc_fields ?? {},
    async remove(document_) {
      if (
        !(await confirmed(
          t("documents.delete"),
          t(`documents.delete.${document_.origin}`, { name: document_.name }),
          t("delete"),
        ))
      )
        return;
      await changed(() => api.remove([document_.id]), t("documents.deleted", { name: document_.name }));
    },
    reparse: (document_) =>
      changed(() => api.reparse([document_.id]), t("documents.reparsed", { name: document_.name })),
    setMetadata: (document_, metadata) =>
      changed(() => api.setMetadata(document_.id, metadata), t("metadata.saved", { name: document_.name })),
    refresh: () => refresh(),
  };

  async function changed(work, told) {
    try {
      await work();
      notice(told);
      await refresh();
      return true;
    } catch (problem) {
      report(problem);
      return false;
    }
  }

  /** Ask for the list; where the answer is what is shown, nothing is drawn anew, so that no focus is lost. */
  async function refresh() {
    clearTimeout(timer);
    controller?.abort();
    controller = new AbortController();
    try {
      const found = await api.documents({ ...asked, limit: PAGE }, controller.signal);
      const drawn = JSON.stringify(found);
      if (drawn !== shown) draw(found);
      shown = drawn;
      busy =
        found.ingest.state === "working" ||
        found.ingest.state === "waiting" ||
        found.documents.some((each) => ["waiting", "working", "deleting"].includes(each.status));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      shown = "";
      fill(table, problemCard(problem, refresh));
    }
    if (!over)
      timer = setTimeout(
        () => (document.visibilityState === "visible" ? refresh() : later()),
        busy ? BUSY_MS : IDLE_MS,
      );
  }

  function later() {
    document.addEventListener("visibilitychange", refresh, { once: true });
  }

  function draw(found) {
    total.textContent = number(found.total);
    told.textContent = asked.search || asked.status ? t("documents.found", { n: found.total }) : "";
    fill(state, ingestState(found.ingest));
    refill(table, found.documents.length ? found.documents.map((each) => documentRow(each, actions)) : empty());
    fill(hidden, hiddenFiles(found.hidden ?? []));
    fill(pages, pageButtons(found.total));
  }

  function empty() {
    const filtered = asked.search || asked.status;
    return h(
      "div",
      { class: "empty" },
      icon(filtered ? "search" : "file"),
      h("p", { class: "empty-title" }, t(filtered ? "documents.nothing" : "documents.none")),
      h("p", {}, t(filtered ? "documents.nothing.text" : "documents.none.text")),
    );
  }

  function hiddenFiles(files) {
    if (!files.length) return null;
    return h(
      "details",
      {},
      h("summary", {}, t("documents.hidden", { n: files.length })),
      h("p", { class: "muted small" }, t("documents.hidden.text")),
      h(
        "ul",
        {},
        files.map((file) =>
          h(
            "li",
            {},
            h("span", {}, file.name),
            h(
              "button",
              {
                class: "plain small",
                type: "button",
                disabled: !about.ui.write,
                onclick: () => changed(() => api.restore([file.id]), t("documents.restored", { name: file.name })),
              },
              t("restore"),
            ),
          ),
        ),
      ),
    );
  }

  function pageButtons(count) {
    if (count <= PAGE && !asked.offset) return null;
    const to = (offset) => async () => {
      asked.offset = offset;
      await refresh();
      table.focus({ preventScroll: true }); // the button has been drawn anew, and may not be usable any more
      toolbar.scrollIntoView();
    };
    return [
      h(
        "button",
        {
          class: "plain small",
          type: "button",
          disabled: !asked.offset,
          onclick: to(Math.max(0, asked.offset - PAGE)),
        },
        t("pages.back"),
      ),
      h(
        "span",
        { class: "muted small" },
        t("pages.of", {
          from: Math.min(asked.offset + 1, count),
          to: Math.min(asked.offset + PAGE, count),
          total: count,
        }),
      ),
      h(
        "button",
        {
          class: "plain small",
          type: "button",
          disabled: asked.offset + PAGE >= count,
          onclick: to(asked.offset + PAGE),
        },
        t("pages.next"),
      ),
    ];
  }

  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: t("documents.search"),
    "aria-label": t("documents.search"),
    oninput: debounced((event) => look({ search: event.target.value.trim() })),
  });
  const statuses = h(
    "select",
    { "aria-label": t("documents.status"), onchange: (event) => look({ status: event.target.value }) },
    h("option", { value: "" }, t("status.all")),
    STATUSES.map((status) => h("option", { value: status }, t(`status.${status}`))),
  );

  function look(values) {
    Object.assign(asked, values, { offset: 0 });
    refresh();
  }

  const toolbar = h("div", { class: "toolbar" }, h("label", { class: "search" }, icon("search"), search), statuses);
  const box = uploads({ stats, write: about.ui.write, done: refresh, target: main });
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("div", { class: "page-head" }, h("h1", {}, t("nav.documents"), total), box.button),
      box.element,
      state,
      toolbar,
      told,
      table,
      pages,
      hidden,
    ),
  );
  refresh();
  return () => {
    over = true;
    box.end();
    clearTimeout(timer);
    controller?.abort();
    document.removeEventListener("visibilitychange", refresh);
  };
}

/** What the ingest is doing, as a line with a bar; null where it does nothing. */
export function ingestState(ingest) {
  if (ingest.state === "failed")
    return h("p", { class: "hint bad" }, icon("alert"), h("span", {}, t("ingest.failed"), " ", ingest.error ?? ""));
  if (ingest.state === "idle") return null;
  const known = ingest.total > 0;
  return h(
    "div",
    { class: "progress-line" },
    h("span", { class: "spinner", "aria-hidden": "true" }),
    h(
      "span",
      {},
      t(`ingest.${ingest.state}`),
      ingest.stage ? ` · ${ingest.stage}` : "",
      known ? ` · ${ingest.done}/${ingest.total}` : "",
    ),
    known && h("progress", { max: ingest.total, value: ingest.done, "aria-label": t("ingest.working") }),
  );
}

function skeletons() {
  return Array.from({ length: 6 }, () => h("div", { class: "skeleton row-skeleton" }));
}
