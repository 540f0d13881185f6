// Elements are made here and nowhere else: text becomes text nodes, so that nothing a document holds is read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "multiple", "open", "selected"]);

/** An HTML element. `on*` are listeners, `style` is an object of custom properties; null, undefined and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, as `h`. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...real(children));
  return element;
}

/**
 * Replace what an element holds, with the focus kept: on the same control of the child with the same `data-id`, or of
 * the one that has come into its place.
 */
export function refill(element, ...children) {
  const controls = (item) => [...(item?.querySelectorAll("a, button") ?? [])];
  const items = () => [...element.querySelectorAll("[data-id]")];
  const before = items();
  const row = before.findIndex((item) => item.contains(document.activeElement));
  const place = controls(before[row]).indexOf(document.activeElement);
  fill(element, ...children);
  if (place < 0) return;
  const after = items();
  const same = after.find(({ dataset }) => dataset.id === before[row].dataset.id);
  const item = same ?? after[Math.min(row, after.length - 1)];
  const usable = controls(item).filter((control) => !control.disabled);
  (usable.find((control) => control === controls(item)[place]) ?? usable[0])?.focus({ preventScroll: true });
}

/** Call `work` once `pause` milliseconds after the last call. */
export function debounced(work, pause = 250) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), pause);
  };
}

/** Call `work` now and every `pause` milliseconds while the page is visible; returns what ends it. */
export function repeated(work, pause) {
  let timer;
  let over = false;
  const turn = async () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") await work();
    if (!over) timer = setTimeout(turn, pause);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
  };
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  // The value of a list is one of its options, which must be there first.
  element.append(...real(children));
  if (element.localName === "select" && attributes.value !== undefined) element.value = attributes.value;
  return element;
}

function real(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
