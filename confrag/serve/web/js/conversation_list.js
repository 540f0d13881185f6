// The list of conversations beside the chat; on a phone a drawer.

import { cover } from "./cover.js";
import { asked, confirmed } from "./dialogs.js";
import { h, refill } from "./dom.js";
import { moment } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

/** The element, `draw()`, the `menu` button that opens the drawer, and `end()`. */
export function conversationList(conversations) {
  const items = h("ul", { class: "conversation-items" });
  const clear = h(
    "button",
    { class: "quiet small", type: "button", onclick: clearAll },
    icon("trash"),
    t("conversations.clear"),
  );
  const element = h(
    "nav",
    { class: "conversations", id: "conversations", "aria-label": t("conversations") },
    h(
      "a",
      { class: "button plain new-chat", href: "#/chat", onclick: () => toggle(false) },
      icon("plus"),
      t("chat.new"),
    ),
    items,
    clear,
  );

  const menu = h(
    "button",
    {
      class: "plain small menu",
      type: "button",
      "aria-controls": "conversations",
      "aria-expanded": "false",
      onclick: () => toggle(true),
    },
    icon("list"),
    t("conversations"),
  );
  let uncover = () => {};

  function toggle(open) {
    if (open === element.classList.contains("open")) return;
    element.classList.toggle("open", open);
    menu.setAttribute("aria-expanded", String(open));
    uncover();
    uncover = () => {};
    if (open) {
      uncover = cover(...["skip", "top"].map((id) => document.getElementById(id)), element.nextElementSibling);
      document.addEventListener("keydown", escaped);
      element.querySelector("a").focus();
    } else {
      document.removeEventListener("keydown", escaped);
      menu.focus();
    }
  }

  function escaped(event) {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    event.stopPropagation(); // the answer goes on
    toggle(false);
  }

  element.addEventListener("click", (event) => event.target === element && toggle(false)); // beside the drawer

  async function clearAll() {
    if (!(await confirmed(t("conversations.clear"), t("conversations.clear.text"), t("delete")))) return;
    conversations.clear();
    go(null);
  }

  async function rename(conversation) {
    const title = await asked(t("conversations.rename"), t("conversations.name"), conversation.title);
    if (title) conversations.rename(conversation, title);
  }

  async function remove(conversation) {
    if (
      !(await confirmed(
        t("conversations.delete"),
        t("conversations.delete.text", { title: conversation.title }),
        t("delete"),
      ))
    )
      return;
    const open = conversations.open === conversation;
    conversations.remove(conversation);
    if (open) go(null);
  }

  function draw() {
    clear.hidden = !conversations.all.length;
    refill(
      items,
      conversations.all.length
        ? conversations.all.map(item)
        : h("li", { class: "muted small none" }, t("conversations.none")),
    );
  }

  function item(conversation) {
    const open = conversation === conversations.open;
    return h(
      "li",
      { class: open ? "conversation open" : "conversation", "data-id": conversation.id },
      h(
        "a",
        { href: `#/chat/${conversation.id}`, "aria-current": open ? "page" : null, onclick: () => toggle(false) },
        h("span", { class: "conversation-title" }, conversation.title),
        h("span", { class: "conversation-when" }, moment(conversation.changed)),
      ),
      h(
        "span",
        { class: "conversation-tools" },
        h(
          "button",
          {
            class: "quiet round",
            type: "button",
            "aria-label": t("conversations.rename"),
            title: t("conversations.rename"),
            onclick: () => rename(conversation),
          },
          icon("edit"),
        ),
        h(
          "button",
          {
            class: "quiet round",
            type: "button",
            "aria-label": t("conversations.delete"),
            title: t("conversations.delete"),
            onclick: () => remove(conversation),
          },
          icon("trash"),
        ),
      ),
    );
  }

  return { element, draw, menu, end: () => toggle(false) };
}

function go(id) {
  const hash = id ? `#/chat/${id}` : "#/chat";
  if (location.hash === hash) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = hash;
}
