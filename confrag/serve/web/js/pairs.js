// The questions and answers that a model has written about a document.

import { api } from "./api.js";
import { confirmed, notice, openDialog } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { problemCard, report } from "./problems.js";

const PAGE = 20;

/** Open the pairs of a document: they can be edited and deleted. */
export function showPairs({ id, name }, actions) {
  return openDialog(t("pairs.of", { name }), () => {
    const list = h("div", { class: "pairs" }, Array.from({ length: 3 }, () => h("div", { class: "skeleton row-skeleton" })));
    load(0);
    return [h("p", { class: "dialog-text" }, t("pairs.text")), list];

    async function load(offset) {
      try {
        const { pairs, total } = await api.pairs({ file_id: id, limit: PAGE, offset });
        const more = offset + pairs.length < total && h("button", { class: "plain wide", type: "button", onclick: (event) => {
          event.target.remove();
          load(offset + pairs.length);
        } }, t("panel.more"));
        const rows = pairs.map((pair) => pairElement(pair, actions));
        if (offset) list.append(...rows, ...(more ? [more] : []));
        else fill(list, rows.length ? rows : h("div", { class: "empty" }, icon("question"), h("p", {}, t("pairs.none"))), more);
      } catch (problem) {
        fill(list, problemCard(problem, () => load(offset)));
      }
    }
  }, { wide: true });
}

function pairElement(pair, actions) {
  const element = h("article", { class: "pair" });
  show();
  return element;

  function show() {
    fill(element, h("div", { class: "pair-text" }, h("p", { class: "pair-question" }, pair.question, pair.edited && h("span", { class: "chip" }, t("pairs.edited"))), h("p", {}, pair.answer)),
      h("div", { class: "document-tools" },
        h("button", { class: "quiet round", type: "button", disabled: !actions.write, "aria-label": t("edit"), title: t("edit"), onclick: edit }, icon("edit")),
        h("button", { class: "quiet round bad", type: "button", disabled: !actions.write, "aria-label": t("delete"), title: t("delete"), onclick: remove }, icon("trash"))));
  }

  function edit() {
    const question = h("textarea", { rows: 2, value: pair.question, "aria-label": t("pairs.question") });
    const answer = h("textarea", { rows: 3, value: pair.answer, "aria-label": t("pairs.answer") });
    fill(element, h("form", { class: "pair-form", onsubmit: (event) => {
      event.preventDefault();
      save({ question: question.value.trim(), answer: answer.value.trim() });
    } }, question, answer, h("div", { class: "row" },
      h("button", { class: "primary small", type: "submit" }, t("save")), h("button", { class: "plain small", type: "button", onclick: show }, t("cancel")))));
    question.focus();
  }

  async function save(values) {
    try {
      await api.setPair(pair.id, values);
      Object.assign(pair, values, { edited: true });
      show();
      notice(t("pairs.saved"));
      actions.refresh();
    } catch (problem) {
      report(problem);
    }
  }

  async function remove() {
    if (!(await confirmed(t("pairs.delete"), pair.question, t("delete")))) return;
    try {
      await api.removePair(pair.id);
      element.remove();
      actions.refresh();
    } catch (problem) {
      report(problem);
    }
  }
}
