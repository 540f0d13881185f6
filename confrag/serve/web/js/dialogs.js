// Dialogs over the page, and short notices at its edge.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

/**
 * Open a dialog; it is closed by its buttons, by Esc, and by a click beside it.
 *
 * `body` is given `close(value)` and returns the content. Resolves to the value, undefined where it was dismissed.
 */
export function openDialog(title, body, { wide = false } = {}) {
  return new Promise((resolve) => {
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const heading = h("h2", { class: "clamped", id: "dialog-title", title }, title);
    const dismiss = h(
      "button",
      { class: "quiet round", type: "button", "aria-label": t("close"), onclick: () => close() },
      icon("close"),
    );
    const dialog = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": "dialog-title" });
    fill(dialog, h("div", { class: "dialog-head" }, heading, dismiss), body(close));
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target === dialog && outside(dialog, event)) close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for a yes. Resolves to true only for the button. */
export async function confirmed(title, text, action) {
  return (
    (await openDialog(title, (close) => [
      h("p", { class: "dialog-text" }, text),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "plain", type: "button", autofocus: true, onclick: () => close(false) }, t("cancel")),
        h("button", { class: "danger", type: "button", onclick: () => close(true) }, action),
      ),
    ])) === true
  );
}

/** Ask for a line of text. Resolves to it, or undefined. */
export function asked(title, label, value, { secret = false, text = "" } = {}) {
  return openDialog(title, (close) => {
    const field = h("input", {
      type: secret ? "password" : "text",
      value,
      autocomplete: "off",
      spellcheck: "false",
      autofocus: true,
      id: "asked",
    });
    const submit = (event) => {
      event.preventDefault();
      close(field.value.trim());
    };
    return h(
      "form",
      { onsubmit: submit },
      text && h("p", { class: "dialog-text" }, text),
      h("label", { class: "field", for: "asked" }, h("span", {}, label), field),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "plain", type: "button", onclick: () => close() }, t("cancel")),
        h("button", { class: "primary", type: "submit" }, t("save")),
      ),
    );
  });
}

/** A notice that goes by itself; `kind` is `fine` or `bad`. */
export function notice(text, kind = "fine") {
  const toast = h(
    "div",
    { class: `toast ${kind}` },
    icon(kind === "bad" ? "alert" : "check"),
    h("span", {}, text),
    h(
      "button",
      { class: "quiet round", type: "button", "aria-label": t("close"), onclick: () => toast.remove() },
      icon("close"),
    ),
  );
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), kind === "bad" ? 10_000 : 4_000);
}

function outside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
