// The head of the page: name, views, language, theme, token.

import { api, setToken, token } from "./api.js";
import { fill, h } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { currentLanguage, setLanguage, t } from "./i18n.js";
import { icon, logo } from "./icons.js";
import { currentTheme, setTheme, THEMES } from "./theme.js";

const VIEWS = { chat: "chat", documents: "file", graph: "graph", statistics: "chart" };

/** Draw the head; `view` is the name of the view that is shown. */
export function header(top, about, view) {
  document.getElementById("skip").textContent = t("skip");
  const theme = currentTheme();
  const other = currentLanguage() === "en" ? "zh" : "en";
  fill(
    top,
    h(
      "a",
      { class: "brand", href: "#/chat", "aria-label": t("home") },
      logo(),
      h("span", { class: "brand-name" }, "confrag"),
      about?.name && h("span", { class: "conf", title: t("configuration") }, about.name),
    ),
    h(
      "nav",
      { class: "views", "aria-label": t("views") },
      Object.entries(VIEWS).map(([name, sign]) =>
        h(
          "a",
          { href: `#/${name}`, "aria-current": name === view ? "page" : null },
          icon(sign),
          h("span", {}, t(`nav.${name}`)),
        ),
      ),
    ),
    h(
      "div",
      { class: "tools" },
      about?.ui?.auth &&
        h(
          "button",
          {
            class: "quiet round",
            type: "button",
            "aria-label": t("token"),
            title: t("token"),
            onclick: () => tokenDialog(),
          },
          icon("key"),
          token() && h("span", { class: "badge-dot" }),
        ),
      h(
        "button",
        {
          class: "quiet language",
          type: "button",
          lang: other === "zh" ? "zh-CN" : "en",
          "aria-label": other === "zh" ? "中文" : "English",
          onclick: () => setLanguage(other),
        },
        other === "zh" ? "中文" : "EN",
      ),
      h(
        "button",
        {
          class: "quiet round",
          type: "button",
          id: "theme",
          "aria-label": t(`theme.${theme}`),
          title: t(`theme.${theme}`),
          onclick: () => {
            setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
            header(top, about, view);
            document.getElementById("theme").focus();
          },
        },
        icon(theme),
      ),
    ),
  );
}

let open = false;

/** Ask for the token; it is tried before it is taken. */
export async function tokenDialog(wrong = false) {
  if (open) return;
  open = true;
  const given = await openDialog(t("token"), (close) => {
    const field = h("input", {
      type: "password",
      id: "token",
      autocomplete: "off",
      spellcheck: "false",
      autofocus: true,
      value: token() ?? "",
    });
    return h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(field.value.trim());
        },
      },
      h("p", { class: "dialog-text" }, t("token.text")),
      wrong && h("p", { class: "reason", role: "alert" }, t("token.wrong")),
      h("label", { class: "field", for: "token" }, h("span", {}, t("token.label")), field),
      h(
        "div",
        { class: "dialog-foot" },
        token() && h("button", { class: "plain", type: "button", onclick: () => close("") }, t("token.forget")),
        h("button", { class: "primary", type: "submit" }, t("token.use")),
      ),
    );
  });
  open = false;
  if (given !== undefined) setToken(given);
}

/** What the service says of itself; null where it is not reached. */
export async function aboutService() {
  try {
    return await api.about();
  } catch {
    return null;
  }
}
