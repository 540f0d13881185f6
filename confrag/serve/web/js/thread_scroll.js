// The scrolling of a conversation. An answer is read from its beginning: its end is followed for who goes there.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const NEAR = 24;

/** Scrolls `thread`. Returns the element, the `button` that goes to the end, and `toEnd()`. */
export function threadScroll(thread) {
  const element = h("div", { class: "thread-scroll" }, thread);
  const button = h(
    "button",
    { class: "plain round to-end", type: "button", hidden: true, "aria-label": t("chat.end"), title: t("chat.end") },
    icon("down"),
  );
  let following = false;
  let top = 0;

  function toEnd() {
    element.scrollTop = element.scrollHeight;
  }

  function show() {
    button.hidden = element.scrollHeight - element.clientHeight - element.scrollTop < NEAR;
  }

  button.addEventListener("click", () => {
    following = true;
    thread.focus({ preventScroll: true }); // the button is gone in a moment
    toEnd();
  });
  element.addEventListener("scroll", () => {
    if (element.scrollTop < top) following = false;
    top = element.scrollTop;
    show();
  });
  new ResizeObserver(() => {
    if (following) toEnd();
    show();
  }).observe(thread);
  return { element, button, toEnd };
}
