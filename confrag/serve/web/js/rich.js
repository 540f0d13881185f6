// What answers are formatted with, as elements: paragraphs, lists, tables, quotes, headings, rules, code, bold,
// italics, citations.
// Everything else, HTML before all, is text.

import { h } from "./dom.js";

const FENCE = /^```/;
const ITEM = /^(\s*)(?:[-*•]|(\d{1,3})[.)])\s+(.*)$/;
const HEADING = /^#{1,6}\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
const RULE = /^\s*(?:-\s*){3,}$|^\s*(?:\*\s*){3,}$|^\s*(?:_\s*){3,}$/;
const ROW = /^\s*\|.*\|\s*$/;
const UNDER_HEAD = /^\s*\|(?:\s*:?-+:?\s*\|)+\s*$/;
const INLINE =
  /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(\*[^*\s](?:[^*\n]*[^*\s])?\*)|([[［【]\s*\d{1,3}(?:\s*[,，、;；~–—-]\s*\d{1,3})*\s*[\]］】])/g;

/** Elements for a text; `cite` makes the element of a cited number, or null where there is no such source. */
export function rich(text, cite = () => null) {
  const blocks = [];
  const lines = text.split("\n");
  while (lines.length) {
    const line = lines.shift();
    if (FENCE.test(line)) blocks.push(code(lines));
    else if (RULE.test(line)) blocks.push(h("hr"));
    else if (QUOTE.test(line)) blocks.push(quote(line, lines, cite));
    else if (isTable(line, lines)) blocks.push(table(line, lines, cite));
    else if (ITEM.test(line)) blocks.push(list(line, lines, cite));
    else if (HEADING.test(line)) blocks.push(h("p", { class: "heading" }, inline(HEADING.exec(line)[1], cite)));
    else if (line.trim()) blocks.push(paragraph(line, lines, cite));
  }
  return blocks;
}

function code(lines) {
  const end = lines.findIndex((line) => FENCE.test(line));
  const held = lines.splice(0, end < 0 ? lines.length : end);
  if (end >= 0) lines.shift();
  return h("pre", { tabindex: 0 }, h("code", {}, held.join("\n")));
}

function list(first, lines, cite) {
  const [, indent, number, text] = ITEM.exec(first);
  const items = [{ text, below: [] }];
  while (lines.length && lines[0].trim() && ![HEADING, FENCE, RULE].some((begin) => begin.test(lines[0]))) {
    const item = ITEM.exec(lines[0]);
    const last = items.at(-1);
    if (item && item[1].length <= indent.length) {
      if (Boolean(item[2]) !== Boolean(number)) break;
      items.push({ text: item[3], below: [] });
    } else if (item || last.below.length) last.below.push(lines[0]);
    else last.text += `\n${lines[0].trim()}`;
    lines.shift();
  }
  return h(
    number ? "ol" : "ul",
    number ? { start: Number(number) } : {},
    items.map((item) => h("li", {}, inline(item.text, cite), rich(item.below.join("\n"), cite))),
  );
}

function quote(first, lines, cite) {
  const held = [first];
  while (lines.length && QUOTE.test(lines[0])) held.push(lines.shift());
  return h("blockquote", {}, rich(held.map((line) => QUOTE.exec(line)[1]).join("\n"), cite));
}

function isTable(line, lines) {
  return ROW.test(line) && lines.length > 0 && UNDER_HEAD.test(lines[0]);
}

function table(head, lines, cite) {
  lines.shift();
  const rows = [];
  while (lines.length && ROW.test(lines[0])) rows.push(lines.shift());
  const row = (line, cell) => h("tr", {}, cells(line).map((text) => h(cell, {}, inline(text, cite))));
  return h(
    "div",
    { class: "table", tabindex: 0 },
    h("table", {}, h("thead", {}, row(head, "th")), h("tbody", {}, rows.map((line) => row(line, "td")))),
  );
}

function cells(line) {
  const between = line.trim().slice(1, -1).split("|");
  return between.map((text) => text.trim());
}

function paragraph(first, lines, cite) {
  const held = [first];
  const others = [ITEM, HEADING, FENCE, QUOTE, RULE];
  while (lines.length && lines[0].trim() && !others.some((begin) => begin.test(lines[0]))) {
    if (isTable(lines[0], lines.slice(1, 2))) break;
    held.push(lines.shift());
  }
  return h("p", {}, inline(held.join("\n"), cite));
}

function inline(text, cite) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[1]) parts.push(h("code", {}, match[0].slice(1, -1)));
    else if (match[2]) parts.push(h("strong", {}, match[0].slice(2, -2)));
    else if (match[3]) parts.push(h("em", {}, match[0].slice(1, -1)));
    else parts.push(cited(match[0], cite));
  }
  return [...parts, text.slice(end)];
}

function cited(text, cite) {
  const found = numbers(text).map((number) => cite(number));
  return found.length && found.every(Boolean) ? found : text;
}

/** The numbers of a citation: ``[1, 3-5]`` holds 1, 3, 4 and 5. */
function numbers(text) {
  return [...text.matchAll(/(\d+)(?:\s*[~–—-]\s*(\d+))?/g)].flatMap(([, from, to = from]) => {
    const [first, last] = [Number(from), Number(to)].sort((a, b) => a - b);
    return Array.from({ length: Math.min(last - first, 20) + 1 }, (_, step) => first + step);
  });
}
