// The questions and answers that a model has written about a document.

import { api } from "./api.js";
import { confirmed, notice, openDialog } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemCard, report } from "./problems.js";

const PAGE = 20;
const PAUSE_MS = 600;

/** Open the pairs of a document: they can be edited and deleted. */
export function showPairs({ id, name }, actions) {
  const list = h(
    "div",
    { class: "pairs" },
    Array.from({ length: 3 }, () => h("div", { class: "skeleton row-skeleton" })),
  );
  let shown = 0;
  let over = false;

  async function load(offset = 0, limit = PAGE) {
    try {
      const { pairs, total } = await api.pairs({ file_id: id, limit, offset });
      shown = offset + pairs.length;
      const more =
        shown < total &&
        h(
          "button",
          {
            class: "plain wide",
            type: "button",
            onclick: (event) => {
              event.target.remove();
              load(shown);
            },
          },
          t("panel.more"),
        );
      const rows = pairs.map((pair) => pairElement(pair, actions.write, changed));
      if (offset) list.append(...[...rows, more].filter(Boolean));
      else
        fill(
          list,
          rows.length ? rows : h("div", { class: "empty" }, icon("question"), h("p", {}, t("pairs.none"))),
          more,
        );
    } catch (problem) {
      fill(
        list,
        problemCard(problem, () => load()),
      );
    }
  }

  /** A pair that was edited comes back with another id, once the document has been brought up to date. */
  async function changed(work, told) {
    try {
      await work();
      notice(told);
      actions.refresh();
      while (!over && ["waiting", "working"].includes((await api.document(id)).status))
        await new Promise((done) => setTimeout(done, PAUSE_MS));
      if (!over) await load(0, Math.max(shown, PAGE));
      return true;
    } catch (problem) {
      report(problem);
      return false;
    }
  }

  load();
  return openDialog(t("pairs.of", { name }), () => [h("p", { class: "dialog-text" }, t("pairs.text")), list], {
    wide: true,
  }).then(() => (over = true));
}

/** A pair; `changed(work, told)` does what changes it, and resolves to whether that went well. */
function pairElement(pair, write, changed) {
  const element = h("article", { class: "pair" });
  const tool = (sign, label, work) =>
    h(
      "button",
      {
        class: sign === "trash" ? "quiet round bad" : "quiet round",
        type: "button",
        disabled: !write,
        "aria-label": label,
        title: label,
        onclick: work,
      },
      icon(sign),
    );
  show();
  return element;

  function show(busy = false) {
    fill(
      element,
      h(
        "div",
        { class: "pair-text" },
        h(
          "p",
          { class: "pair-question" },
          pair.question,
          pair.edited && h("span", { class: "chip" }, t("pairs.edited")),
        ),
        h("p", {}, pair.answer),
      ),
      busy
        ? h("span", { class: "spinner", "aria-hidden": "true" })
        : h("div", { class: "document-tools" }, tool("edit", t("edit"), edit), tool("trash", t("delete"), remove)),
    );
  }

  function edit() {
    const question = h("textarea", {
      rows: 2,
      value: pair.question,
      required: true,
      "aria-label": t("pairs.question"),
    });
    const answer = h("textarea", { rows: 3, value: pair.answer, required: true, "aria-label": t("pairs.answer") });
    fill(
      element,
      h(
        "form",
        {
          class: "pair-form",
          onsubmit: (event) => {
            event.preventDefault();
            save({ question: question.value.trim(), answer: answer.value.trim() });
          },
        },
        question,
        answer,
        h(
          "div",
          { class: "row" },
          h("button", { class: "primary small", type: "submit" }, t("save")),
          h("button", { class: "plain small", type: "button", onclick: () => show() }, t("cancel")),
        ),
      ),
    );
    question.focus();
  }

  async function save(values) {
    const before = { ...pair };
    Object.assign(pair, values, { edited: true });
    show(true);
    if (await changed(() => api.setPair(before.id, values), t("pairs.saved"))) return;
    Object.assign(pair, before);
    show();
  }

  async function remove() {
    if (!(await confirmed(t("pairs.delete"), pair.question, t("delete")))) return;
    show(true);
    if (!(await changed(() => api.removePair(pair.id), t("pairs.saved")))) show();
  }
}
