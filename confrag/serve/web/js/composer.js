// Where a question is written.

import { fill, h } from "./dom.js";
import { filterControl } from "./filters.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

/**
 * The form: `ask(query, filters)` and `stop()` are called; `fields` are the declared metadata.
 *
 * Returns the element, `focus()` and `running(yes)`, which turns the button into one that stops.
 */
export function composer({ ask, stop, fields, drafts }) {
  const field = h("textarea", {
    id: "question",
    rows: 1,
    "aria-label": t("chat.question"),
    placeholder: t("chat.placeholder"),
    value: drafts.text ?? "",
    dir: "auto",
    enterkeyhint: "send",
  });
  const button = h("button", { class: "send", type: "submit" });
  const filters = filterControl(fields, drafts.filters ?? {}, (set) => (drafts.filters = set));
  let busy = false;

  function sized() {
    drafts.text = field.value;
    field.style.setProperty("height", "auto");
    field.style.setProperty("height", `${Math.min(field.scrollHeight, 200)}px`);
    button.disabled = !busy && !field.value.trim();
  }

  function running(yes) {
    busy = yes;
    fill(button, icon(yes ? "stop" : "send"));
    button.className = yes ? "send stop" : "send";
    button.setAttribute("aria-label", t(yes ? "chat.stop" : "chat.send"));
    button.title = yes ? `${t("chat.stop")} (Esc)` : t("chat.send");
    sized();
  }

  function submit(event) {
    event.preventDefault();
    if (busy) {
      stop();
      return;
    }
    const query = field.value.trim();
    if (!query) return;
    field.value = "";
    sized();
    ask(query, { ...drafts.filters });
  }

  field.addEventListener("input", sized);
  field.addEventListener("keydown", (event) => {
    // An Enter that chooses a character of an input method is none that sends.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  const form = h(
    "form",
    { class: "composer", onsubmit: submit },
    filters.chips,
    h("div", { class: "composer-row" }, filters.control, field, button),
  );
  running(false);
  requestAnimationFrame(sized);
  return {
    element: h("div", { class: "composer-wrap" }, form, h("p", { class: "composer-hint" }, t("chat.hint"))),
    focus: () => field.focus(),
    running,
  };
}
