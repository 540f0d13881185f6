// The languages of the page.

import { keep, kept } from "./storage.js";
import en from "./strings/en.js";
import zh from "./strings/zh.js";

export const LANGUAGES = { en, zh };

let language = kept("language", navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(language in LANGUAGES)) language = "en";

/** Tells `change`. */
export const languages = new EventTarget();

export function currentLanguage() {
  return language;
}

export function setLanguage(chosen) {
  language = chosen;
  keep("language", chosen);
  declareLanguage();
  languages.dispatchEvent(new Event("change"));
}

/** Tell the browser, which chooses fonts and voices by it. */
export function declareLanguage() {
  document.documentElement.lang = locale();
}

export function locale() {
  return language === "zh" ? "zh-CN" : "en";
}

/** A text, with `{name}` replaced. With a number `n`, the text for it: `key.one` where there is such a one. */
export function t(key, values = {}) {
  const texts = LANGUAGES[language];
  const one = values.n === 1 && `${key}.one` in texts ? `${key}.one` : key;
  const text = texts[one] ?? en[one] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

function shown(value) {
  return typeof value === "number" ? value.toLocaleString(locale()) : value;
}
