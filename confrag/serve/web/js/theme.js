// Light, dark, or as the system has it.

import { keep, kept } from "./storage.js";

export const THEMES = ["system", "light", "dark"];

const system = matchMedia("(prefers-color-scheme: dark)");

export function currentTheme() {
  return kept("theme", "system");
}

export function setTheme(theme) {
  keep("theme", theme === "system" ? null : theme);
  apply(theme);
}

function apply(theme = currentTheme()) {
  const dark = theme === "system" ? system.matches : theme === "dark";
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

system.addEventListener("change", () => apply());
