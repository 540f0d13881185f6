// The page: which view is shown, and what holds for all of them.

import { api, session } from "./api.js";
import { chat } from "./chat.js";
import { Conversations } from "./conversations.js";
import { documents } from "./documents.js";
import { fill, h } from "./dom.js";
import { graph } from "./graph.js";
import { aboutService, header, tokenDialog } from "./header.js";
import { declareLanguage, languages, t } from "./i18n.js";
import { closePanel } from "./panel.js";
import { problemCard } from "./problems.js";
import { statistics } from "./statistics.js";

const VIEWS = { chat, documents, graph, statistics };

const main = document.getElementById("main");
const head = document.getElementById("top");
const context = { about: null, stats: null, groups: [], conversations: null };
let end = () => {};
let shown = null;

/** What the views need to know of the service. Without a token it may keep all but its name to itself. */
async function learn() {
  context.about = await aboutService();
  if (!context.about) return;
  context.conversations ??= new Conversations(context.about.name);
  const [stats, described] = await Promise.allSettled([api.stats(), api.graph()]);
  context.stats = stats.value ?? null;
  context.groups = described.value?.plan.groups ?? [];
}

function show() {
  const [, name, id] = /^#\/(\w+)(?:\/(.*))?$/.exec(location.hash) ?? [null, "chat"];
  const view = name in VIEWS ? name : "chat";
  end();
  end = () => {};
  if (view !== shown) closePanel();
  declareLanguage();
  header(head, context.about, view);
  document.title = `${t(`nav.${view}`)} · ${context.about?.name ?? "confrag"}`;
  document.body.dataset.view = view;
  main.setAttribute("aria-label", t(`nav.${view}`));
  if (!context.about) fill(main, h("div", { class: "page" }, problemCard({ status: 0 }, begin)));
  else end = VIEWS[view](main, context, id);
  if (shown && view !== shown && view !== "chat") main.focus({ preventScroll: true });
  if (view !== shown) main.scrollTop = 0;
  shown = view;
}

async function begin() {
  await learn();
  show();
}

function typing(target) {
  return target.closest("input, textarea, select, dialog") !== null;
}

addEventListener("hashchange", show);
languages.addEventListener("change", () => {
  closePanel();
  show();
});
session.addEventListener("unauthorized", ({ detail }) => tokenDialog(detail.wrong));
session.addEventListener("token", begin);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "/" && !typing(event.target)) {
    event.preventDefault();
    (document.getElementById("question") ?? document.getElementById("search"))?.focus();
    if (!document.getElementById("question") && !document.getElementById("search")) location.hash = "#/chat";
  }
  // The answer that runs is stopped before anything is closed; dialogs close by themselves.
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (context.conversations?.running) context.conversations.stop();
    else closePanel();
  }
});
addEventListener("dragover", (event) => event.preventDefault()); // a file that misses the box must not replace the page
addEventListener("drop", (event) => event.preventDefault());

begin();
