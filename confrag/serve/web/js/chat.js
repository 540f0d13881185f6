// The view of questions and answers.

import { api } from "./api.js";
import { composer } from "./composer.js";
import { conversationList } from "./conversation_list.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { icon, logo } from "./icons.js";
import { threadScroll } from "./thread_scroll.js";
import { turnElement } from "./turn.js";

const drafts = {};
const hovers = matchMedia("(hover: hover)").matches;

/** Show a conversation (`id`; none: a new one). Returns what ends the view. */
export function chat(main, { conversations, stats }, id) {
  conversations.show(id);
  const thread = h("div", { class: "thread", id: "thread", tabindex: -1 });
  const spoken = h("div", { class: "sr-only", role: "log", "aria-live": "polite", "aria-label": t("chat.answer") });
  const scroll = threadScroll(thread);
  const form = composer({ ask, stop: () => conversations.stop(), fields: stats?.doc_fields ?? {}, drafts });
  const list = conversationList(conversations);
  const heading = h("h1", { class: "sr-only" });
  const title = h("p", { class: "chat-title", "aria-hidden": "true" });
  const fresh = h("a", { class: "button plain small menu", href: "#/chat", "aria-label": t("chat.new") }, icon("plus"));
  fill(
    main,
    h(
      "div",
      { class: "chat" },
      list.element,
      h(
        "section",
        { class: "talk", "aria-label": t("nav.chat") },
        heading,
        h("div", { class: "talk-head" }, list.menu, title, fresh),
        scroll.element,
        spoken,
        h("div", { class: "talk-foot" }, scroll.button, form.element),
      ),
    ),
  );

  let elements = new Map();
  let said = 0;
  let frame = 0;

  function ask(query, filters) {
    said = 0;
    conversations.ask(query, filters);
    history.replaceState(null, "", `#/chat/${conversations.open.id}`);
    draw();
    scroll.toEnd();
    if (!hovers) document.activeElement.blur(); // the keyboard of a phone would cover half of the answer
  }

  function draw() {
    const turns = conversations.open?.turns ?? [];
    elements = new Map(turns.map((turn) => [turn, element(turn)]));
    fill(thread, turns.length ? [...elements.values()] : welcome(stats, (query) => ask(query, { ...drafts.filters })));
    form.running(Boolean(conversations.running));
  }

  function element(turn) {
    const last = turn === conversations.open.turns.at(-1);
    return turnElement(turn, last && !conversations.running ? retry : null);
  }

  function retry() {
    said = 0;
    conversations.retry();
    draw();
  }

  function changed({ detail: turn }) {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      if (turn.state !== "asking") form.running(false);
      if (!elements.has(turn)) return;
      const drawn = element(turn);
      elements.get(turn).replaceWith(drawn);
      elements.set(turn, drawn);
      speak(turn);
    });
  }

  // Screen readers are given whole sentences, each once; the text on the screen is drawn anew with each piece.
  function speak(turn) {
    const end = turn.state === "asking" ? turn.text.search(/[.!?。！？\n][^.!?。！？\n]*$/) + 1 : turn.text.length;
    if (end > said) spoken.append(h("p", {}, turn.text.slice(said, end)));
    said = Math.max(said, end);
  }

  function listed() {
    list.draw();
    heading.textContent = title.textContent = conversations.open?.title ?? "";
    heading.hidden = !conversations.open; // the welcome has its own
  }

  conversations.addEventListener("turn", changed);
  conversations.addEventListener("list", listed);
  draw();
  listed();
  scroll.toEnd();
  if (hovers) form.focus();
  return () => {
    cancelAnimationFrame(frame);
    list.end();
    conversations.removeEventListener("turn", changed);
    conversations.removeEventListener("list", listed);
  };
}

function welcome(stats, ask) {
  const corpus = stats?.corpus;
  const ideas = h("div", { class: "ideas" });
  // Where the configuration lets a model write questions about the corpus, some of them are a good beginning.
  api.pairs({ limit: 4 }).then(
    ({ pairs }) =>
      fill(
        ideas,
        pairs.map(({ question }) =>
          h(
            "button",
            { class: "idea", type: "button", onclick: () => ask(question) },
            h("span", {}, question),
            icon("chevron"),
          ),
        ),
      ),
    () => {},
  );
  return h(
    "div",
    { class: "welcome" },
    logo(),
    h("h1", {}, t("welcome.title")),
    corpus && corpus.files > 0 && h("p", {}, t("welcome.files", { n: corpus.files })),
    corpus &&
      corpus.files === 0 && [
        h("p", {}, t("welcome.empty")),
        h("a", { class: "button primary", href: "#/documents" }, icon("upload"), t("documents.add")),
      ],
    ideas,
    h(
      "p",
      { class: "keys" },
      h("kbd", {}, "/"),
      t("keys.question"),
      h("kbd", {}, "Enter"),
      t("keys.send"),
      h("kbd", {}, "Esc"),
      t("keys.stop"),
    ),
  );
}
