import { svg } from "./dom.js";

// Strokes in a square of 24.
const PATHS = {
  alert: "M12 8v5M12 16.5v.01M10.3 4.1 2.7 17.4A2 2 0 0 0 4.4 20.4h15.2a2 2 0 0 0 1.7-3L13.7 4.1a2 2 0 0 0-3.4 0Z",
  bolt: "M13 3 5 13.5h6L11 21l8-10.5h-6L13 3Z",
  chart: "M4 20h16M7 16v-5M12 16V6M17 16v-8",
  chat: "M20 12a7.5 7.5 0 0 1-11 6.6L4 20l1.4-4.6A7.5 7.5 0 1 1 20 12Z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  chevron: "m9 6 6 6-6 6",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h9a1.5 1.5 0 0 1 1.5 1.5v8A1.5 1.5 0 0 1 18 20H9.5A1.5 1.5 0 0 1 8 18.5V10a1 1 0 0 1 1-1ZM5.5 15.5a1.5 1.5 0 0 1-1-1.4V5.5A1.5 1.5 0 0 1 6 4h8a1.5 1.5 0 0 1 1.4 1",
  dark: "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5Z",
  down: "M12 5v14M6 13l6 6 6-6",
  edit: "M14.5 5.5l4 4L8 20H4v-4L14.5 5.5Z",
  file: "M13.5 3.5H7A1.5 1.5 0 0 0 5.5 5v14A1.5 1.5 0 0 0 7 20.5h10a1.5 1.5 0 0 0 1.5-1.5V8.5l-5-5ZM13.5 3.5v5h5",
  filter: "M4 7h16M7 12h10M10 17h4",
  graph:
    "M6 8.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM6 20.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM18 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8.5 6.5l7 4.5M8.5 17.5l7-4",
  key: "M14.5 13.5a5 5 0 1 0-4-4L4 16v4h4v-2.5h2.5V15l4-1.5ZM16 8v.01",
  light:
    "M12 16.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  list: "M4 6.5h16M4 12h16M4 17.5h10",
  plus: "M12 5v14M5 12h14",
  question: "M9 9.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  retry: "M20 5v5h-5M4 19v-5h5M19 10a7.5 7.5 0 0 0-13-2.5M5 14a7.5 7.5 0 0 0 13 2.5",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  tag: "M4 4h7.5L20 12.5 12.5 20 4 11.5V4ZM8 8v.01",
  trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 13h9l1-13M10 11v5.5M14 11v5.5",
  upload: "M12 15.5V4.5M7.5 9 12 4.5 16.5 9M4.5 15.5v3A1.5 1.5 0 0 0 6 20h12a1.5 1.5 0 0 0 1.5-1.5v-3",
};

/** A picture beside a text or a label that says the same; screen readers pass over it. */
export function icon(name) {
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}

/** The sign of confrag: routes that come together in one answer. */
export function logo() {
  return svg(
    "svg",
    { class: "logo", viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    svg("rect", { width: 32, height: 32, rx: 9 }),
    svg("path", {
      d: "M9 9.5h6.5M9 16h4M9 22.5h6.5M15.5 9.5c4 0 3.5 6.5 7.5 6.5M13 16h10M15.5 22.5c4 0 3.5-6.5 7.5-6.5",
    }),
    svg("circle", { cx: 23, cy: 16, r: 3 }),
  );
}
