// The dialog for the metadata of a document: rows of keys and values, of the types that the configuration declares.

import { fill, h } from "./dom.js";
import { plain } from "./format.js";
import { openDialog } from "./dialogs.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const NUMBERS = new Set(["int", "float"]);

/** Edit the metadata of a document. Resolves to all of it, or undefined where nothing is to be changed. */
export function editMetadata({ name, metadata = {} }, fields) {
  return openDialog(
    t("metadata.of", { name }),
    (close) => {
      const rows = h("div", { class: "metadata-rows" });
      const wrong = h("p", { class: "reason", role: "alert", hidden: true });
      const add = (key = "", value = "") => rows.append(row(key, value, fields));
      const missing = Object.keys(fields).filter((field) => !(field in metadata));
      Object.entries(metadata).forEach(([key, value]) => add(key, value));
      missing.forEach((field) => add(field, ""));
      if (!rows.childElementCount) add();
      const submit = (event) => {
        event.preventDefault();
        try {
          close(collected(rows, fields));
        } catch (error) {
          wrong.textContent = error.message;
          wrong.hidden = false;
        }
      };
      return h(
        "form",
        { onsubmit: submit, novalidate: true },
        h("p", { class: "dialog-text" }, t("metadata.text")),
        rows,
        wrong,
        h(
          "button",
          {
            class: "plain small",
            type: "button",
            onclick: () => {
              add();
              rows.lastElementChild.querySelector("input").focus();
            },
          },
          icon("plus"),
          t("metadata.add"),
        ),
        h(
          "div",
          { class: "dialog-foot" },
          h("button", { class: "plain", type: "button", onclick: () => close() }, t("cancel")),
          h("button", { class: "primary", type: "submit" }, t("save")),
        ),
      );
    },
    { wide: true },
  );
}

function row(key, value, fields) {
  const named = h("input", {
    type: "text",
    class: "metadata-key",
    value: key,
    placeholder: t("metadata.key"),
    "aria-label": t("metadata.key"),
    readonly: key in fields,
    spellcheck: "false",
  });
  const held = h("span", { class: "metadata-value" }, valueField(value, fields[key]));
  const element = h(
    "div",
    { class: "metadata-row" },
    named,
    held,
    h(
      "button",
      {
        class: "quiet round",
        type: "button",
        "aria-label": t("metadata.remove"),
        title: t("metadata.remove"),
        onclick: () => element.remove(),
      },
      icon("close"),
    ),
  );
  // What is not declared keeps its type unless it is edited: 2024 stays a number.
  element.original = { key, value };
  let type = fields[key];
  named.addEventListener("change", () => {
    const wanted = fields[named.value.trim()];
    if (wanted === type) return; // who goes on to the value has it under the pointer: it is not exchanged without need
    type = wanted;
    fill(held, valueField(held.firstElementChild.value, type));
  });
  return element;
}

function valueField(value, type) {
  const label = { "aria-label": t("metadata.value") };
  if (type === "bool") {
    return h(
      "select",
      { ...label, value: String(value) },
      h("option", { value: "" }, "—"),
      h("option", { value: "true" }, t("yes")),
      h("option", { value: "false" }, t("no")),
    );
  }
  const kind = type === "date" ? "date" : NUMBERS.has(type) ? "number" : "text";
  return h("input", {
    ...label,
    type: kind,
    step: type === "float" ? "any" : null,
    value: plain(value),
    placeholder: type ? t(`type.${type}`) : t("metadata.value"),
  });
}

/** The metadata that the rows hold; rows without a value are left out. Throws where one cannot be read. */
function collected(rows, fields) {
  const found = {};
  for (const element of rows.children) {
    const [key, field] = [
      element.querySelector(".metadata-key").value.trim(),
      element.querySelector(".metadata-value").firstElementChild,
    ];
    if (!key && !field.value) continue;
    if (!key) throw new Error(t("metadata.nameless", { value: field.value }));
    if (key in found) throw new Error(t("metadata.twice", { key }));
    if (field.validity.badInput) throw new Error(t("metadata.wrong", { key, type: t(`type.${fields[key]}`) }));
    if (field.value === "") continue;
    const { key: before, value } = element.original;
    found[key] =
      !fields[key] && key === before && field.value === plain(value) ? value : typed(key, field.value, fields[key]);
  }
  return found;
}

function typed(key, text, type) {
  if (type === "bool") return text === "true";
  if (type === "strings")
    return text
      .split(/[,，]/)
      .map((item) => item.trim())
      .filter(Boolean);
  if (!NUMBERS.has(type)) return text;
  const value = Number(text);
  if (!Number.isFinite(value) || (type === "int" && !Number.isInteger(value)))
    throw new Error(t("metadata.wrong", { key, type: t(`type.${type}`) }));
  return value;
}
