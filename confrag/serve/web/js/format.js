// Numbers and times, as people read them.

import { locale } from "./i18n.js";

/** Milliseconds: `0.4 ms`, `38 ms`, `1.24 s`. */
export function duration(ms) {
  if (ms >= 1000) return `${number(ms / 1000, 2)} s`;
  return `${number(ms, ms < 10 ? 1 : 0)} ms`;
}

/** Bytes: `37 KB`. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const scaled = bytes / 1000 ** power;
  return `${number(scaled, scaled < 10 ? 1 : 0)} ${["", "KB", "MB", "GB"][power]}`;
}

export function number(value, digits = 0) {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits });
}

/** Seconds since something began: `3 h 12 min`. */
export function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A moment, ISO or milliseconds: the time of today, else the date. */
export function moment(when) {
  const date = new Date(when);
  if (Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(locale(), today ? { timeStyle: "short" } : { dateStyle: "medium" }).format(date);
}

/** What a piece of metadata says: lists with commas, the rest as it is. */
export function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}
