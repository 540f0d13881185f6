// The list of queries: search, filters, order, and which configurations are looked at. Rows are made as they are needed.
const PAGE = 40;
const FILTERS = {
  all: () => true,
  differ: (query, jobs) => spread(query, jobs) > 0,
  wrong: (query, jobs) => jobs.some((job) => run(query, job)?.wrong),
  "all wrong": (query, jobs) => jobs.every((job) => run(query, job)?.wrong ?? true),
  failed: (query, jobs) => jobs.some((job) => run(query, job)?.error),
};
const ORDERS = {
  difference: (jobs) => (a, b) => spread(b, jobs) - spread(a, jobs),
  hardest: (jobs) => (a, b) => mean(a, jobs) - mean(b, jobs),
  id: () => (a, b) => a.id.localeCompare(b.id, "en", { numeric: true }),
};

function browser(root) {
  const every = DATA.jobs.map((_, job) => job);
  let chosen = every, found = [], shown = 0;
  const search = element("input", { type: "search", placeholder: "Search questions, ids, references", "aria-label": "Search queries", oninput: update });
  const filter = element("select", { "aria-label": "Filter", onchange: update },
    option("all", "All queries"), option("differ", "Configurations differ"),
    option("wrong", "Answered wrongly by some"), option("all wrong", "Answered wrongly by all"), option("failed", "Failed"));
  const order = element("select", { "aria-label": "Order", onchange: update },
    option("difference", "Largest difference first"), option("hardest", "Hardest first"), option("id", "In order of ids"));
  const status = element("p", { class: "status", role: "status" });
  const list = element("ol", { class: "queries" });
  const more = element("button", { class: "more", type: "button", onclick: () => show(list.lastElementChild) });
  root.replaceChildren(
    element("div", { class: "controls" }, search, filter, order, every.length > 1 ? picker() : null), status, list, more);

  function picker() {
    const boxes = every.map((job) => element("input", { type: "checkbox", value: job, checked: true, onchange: pick }));
    const name = element("summary", {}, "Configurations: all");
    function pick() {
      chosen = boxes.filter((box) => box.checked).map((box) => Number(box.value));
      name.textContent = `Configurations: ${chosen.length === every.length ? "all" : chosen.length}`;
      update();
    }
    function all(state) {
      boxes.forEach((box) => { box.checked = state; });
      pick();
    }
    return element("details", { class: "picker" }, name, element("div", { class: "menu" },
      element("p", {}, element("button", { type: "button", onclick: () => all(true) }, "All"),
        element("button", { type: "button", onclick: () => all(false) }, "None")),
      ...boxes.map((box) => element("label", {}, box, DATA.jobs[box.value]))));
  }

  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = DATA.queries.filter((query) => {
      const text = `${query.id} ${query.query} ${query.gold.answers.join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word)) && FILTERS[filter.value](query, chosen);
    }).sort(ORDERS[order.value](chosen));
    status.textContent = `${counted(found.length, "query", "queries")}${found.length < DATA.queries.length ? ` of ${DATA.queries.length.toLocaleString("en-US")}` : ""}`;
    list.replaceChildren();
    shown = 0;
    show(null);
  }

  function show(last) {
    list.append(...found.slice(shown, shown + PAGE).map((query) => row(query)));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown === found.length;
    more.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
    // Who has pressed the button with the keyboard goes on at the first new row.
    if (last) last.nextElementSibling?.querySelector("button")?.focus();
  }

  function row(query) {
    const button = element("button", { type: "button", "aria-expanded": "false", onclick: toggle },
      element("span", { class: "id" }, query.id), element("span", { class: "question" }, query.query), strip(query));
    const item = element("li", {}, button);
    function toggle() {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) item.lastElementChild.remove();
      else item.append(opened(query, chosen));
    }
    return item;
  }

  function strip(query) {
    const low = spread(query, chosen);
    const cells = chosen.map((job) => {
      const value = query.runs[job]?.[0] ?? null;
      const failed = query.runs[job]?.[4];
      const shade = failed ? "failed" : value === null ? "none" : `shade-${Math.round(Math.max(0, Math.min(1, value)) * 5)}`;
      return element("span", { class: `cell ${shade}`, title: `${DATA.jobs[job]}: ${failed ? "failed" : score(value)}` });
    });
    return element("span", { class: "strip" }, element("span", { class: "cells", "aria-hidden": "true" }, ...cells),
      element("span", { class: "spread" }, chosen.length > 1 ? `Δ ${low.toFixed(2)}` : score(query.runs[chosen[0]]?.[0] ?? null)));
  }

  update();
}

browser(document.getElementById("browser"));
