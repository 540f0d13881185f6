// Which documents a question is about: filters by what the configuration declares of their metadata.

import { fill, h } from "./dom.js";
import { plain } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const ORDERED = { int: "number", float: "number", date: "date" };

/**
 * A button that opens the filters, and the chips of those that are set.
 *
 * `fields` is name -> type, `filters` is what was set before, `changed` is told the filters as /api/ask takes them.
 */
export function filterControl(fields, filters, changed) {
  const declared = { file: "string", ...fields };
  let set = { ...filters };
  const chips = h("div", { class: "filter-chips" });
  const badge = h("span", { class: "badge-dot" });
  const popover = h("div", {
    class: "popover",
    id: "filters",
    role: "group",
    "aria-label": t("filters"),
    hidden: true,
  });
  const button = h(
    "button",
    {
      class: "quiet round",
      type: "button",
      "aria-label": t("filters"),
      title: t("filters"),
      "aria-expanded": "false",
      "aria-controls": "filters",
      onclick: () => toggle(popover.hidden),
    },
    icon("filter"),
    badge,
  );

  function toggle(open) {
    popover.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      fill(
        popover,
        h("p", { class: "popover-title" }, t("filters")),
        Object.entries(declared).map(([name, type]) => row(name, type)),
      );
      popover.querySelector("input, select").focus();
    }
  }

  function row(name, type) {
    const put = (condition) => {
      if (condition === null) delete set[name];
      else set = { ...set, [name]: condition };
      show();
    };
    return h(
      "div",
      { class: "filter-row" },
      h("span", { class: "filter-name", id: `filter-${name}` }, name),
      inputs(type, set[name], put, name),
    );
  }

  function show() {
    badge.hidden = !Object.keys(set).length;
    fill(
      chips,
      Object.entries(set).map(([name, condition]) =>
        h(
          "span",
          { class: "chip filter" },
          `${name} ${told(condition)}`,
          h(
            "button",
            {
              type: "button",
              class: "chip-x",
              "aria-label": t("filter.remove", { name }),
              onclick: () => remove(name),
            },
            icon("close"),
          ),
        ),
      ),
    );
    changed(set);
  }

  function remove(name) {
    const { [name]: _, ...rest } = set;
    set = rest;
    show();
    toggle(false);
    button.focus();
  }

  popover.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    toggle(false);
    button.focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!popover.hidden && !popover.contains(event.target) && !button.contains(event.target)) toggle(false);
  });
  show();
  return { chips, control: [button, popover] };
}

function inputs(type, condition, put, name) {
  const labelled = { "aria-labelledby": `filter-${name}` };
  if (type === "bool") {
    const chosen = condition === undefined ? "" : String(condition);
    return h(
      "select",
      {
        ...labelled,
        value: chosen,
        onchange: (event) => put(event.target.value ? event.target.value === "true" : null),
      },
      h("option", { value: "" }, t("filter.any")),
      h("option", { value: "true" }, t("yes")),
      h("option", { value: "false" }, t("no")),
    );
  }
  if (type in ORDERED) {
    const bound = (operator, key) =>
      h(
        "label",
        { class: "bound" },
        t(key),
        h("input", {
          type: ORDERED[type],
          step: type === "float" ? "any" : null,
          value: condition?.[operator] ?? "",
          "aria-label": `${name} ${t(key)}`,
          onchange: (event) => {
            const { [operator]: _, ...rest } = condition ?? {};
            condition =
              event.target.value === ""
                ? rest
                : { ...rest, [operator]: type === "date" ? event.target.value : Number(event.target.value) };
            put(Object.keys(condition).length ? condition : null);
          },
        }),
      );
    return h("div", { class: `bounds ${type}` }, bound(">=", "filter.from"), bound("<=", "filter.to"));
  }
  const texts = Array.isArray(condition?.in ?? condition) ? (condition?.in ?? condition).join(", ") : (condition ?? "");
  return h("input", {
    ...labelled,
    type: "text",
    value: texts,
    placeholder: t("filter.texts"),
    onchange: (event) => {
      const values = event.target.value
        .split(/[,，]/)
        .map((value) => value.trim())
        .filter(Boolean);
      put(values.length ? (type === "strings" ? { in: values } : values) : null);
    },
  });
}

function told(condition) {
  if (condition === null || typeof condition !== "object" || Array.isArray(condition)) return `= ${plain(condition)}`;
  return Object.entries(condition)
    .map(
      ([operator, value]) =>
        `${operator === "in" ? "=" : operator.replace(">=", "≥").replace("<=", "≤")} ${plain(value)}`,
    )
    .join(", ");
}
