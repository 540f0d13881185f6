// Problems, as friendly messages.

import { session } from "./api.js";
import { h } from "./dom.js";
import { notice } from "./dialogs.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const KNOWN = new Set([0, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504]);

/** What it means, in a sentence of the user's language. */
export function headline(problem) {
  return t(KNOWN.has(problem.status) ? `problem.${problem.status}` : "problem.other");
}

/** Tell of a problem at the edge of the page; one that was stopped on purpose is none. */
export function report(problem) {
  if (problem.name === "AbortError") return;
  if (problem.status === undefined) throw problem;
  notice(problem.detail ? `${headline(problem)} ${problem.detail}` : headline(problem), "bad");
}

/** A card that says what went wrong; `again` is offered, once the time is over that the service asked for. */
export function problemCard(problem, again) {
  const button =
    again && h("button", { class: "plain", type: "button", onclick: again }, icon("retry"), h("span", {}, t("retry")));
  if (button && problem.retryAfter) countDown(button, Math.ceil(problem.retryAfter));
  const show =
    problem.status === 401 &&
    h("button", { class: "primary", type: "button", onclick: askForToken }, icon("key"), t("token.enter"));
  return h(
    "div",
    { class: "problem", role: "alert" },
    icon("alert"),
    h(
      "div",
      { class: "problem-text" },
      h("p", { class: "problem-title" }, headline(problem)),
      problem.detail && h("p", { class: "problem-detail" }, problem.detail),
      problem.requestId && h("p", { class: "problem-id" }, t("problem.id", { id: problem.requestId })),
      (show || button) && h("div", { class: "row" }, show, button),
    ),
  );
}

/** Open the dialog for the token. */
export function askForToken() {
  session.dispatchEvent(new CustomEvent("unauthorized", { detail: { wrong: false } }));
}

function countDown(button, seconds) {
  const label = button.querySelector("span");
  button.disabled = seconds > 0;
  label.textContent = seconds > 0 ? t("retry.in", { n: seconds }) : t("retry");
  if (seconds > 0) setTimeout(() => button.isConnected && countDown(button, seconds - 1), 1000);
}
