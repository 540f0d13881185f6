// One query, opened: the reference, and what the configurations made of it, side by side.
function opened(query, jobs) {
  return element("div", { class: "opened" }, reference(query), element("div", { class: "runs" }, ...cards(query, jobs)));
}

function reference(query) {
  const { answers, documents } = query.gold;
  const relevant = Object.entries(documents).filter(([, grade]) => grade > 0);
  const shown = relevant.slice(0, 12).map(([id, grade]) => (grade > 1 ? `${id} (grade ${grade})` : id));
  if (relevant.length > shown.length) shown.push(`and ${relevant.length - shown.length} more`);
  return element("dl", { class: "reference" },
    answers.length ? element("div", {}, element("dt", {}, "Reference"), element("dd", {}, answers.join(" / "))) : null,
    relevant.length
      ? element("div", {}, element("dt", {}, counted(relevant.length, "relevant document", "relevant documents")),
        element("dd", {}, shown.join(", ")))
      : null);
}

function cards(query, jobs) {
  const groups = new Map();
  for (const job of jobs) {
    const found = run(query, job);
    const key = found ? found.same : "none";
    if (!groups.has(key)) groups.set(key, { found, jobs: [] });
    groups.get(key).jobs.push(job);
  }
  const best = [...groups.values()].sort((a, b) => (b.found?.score ?? -1) - (a.found?.score ?? -1));
  return best.map(({ found, jobs: alike }) => card(found, alike, query));
}

function card(found, jobs, query) {
  const names = element("h4", {}, ...jobs.map((job) => element("span", {}, DATA.jobs[job])));
  if (!found) return element("article", { class: "run" }, names, element("p", { class: "muted" }, "was not asked this"));
  const relevant = Object.values(query.gold.documents).filter((grade) => grade > 0).length;
  const facts = [
    relevant ? (found.ranks.length ? `relevant at rank ${ranks(found.ranks)}` : "nothing relevant found") : null,
    duration(found.ms), found.cached ? "from the cache" : null, found.partial ? "partial" : null,
  ].filter(Boolean);
  return element("article", { class: "run" },
    element("header", {}, names, element("strong", { class: `score${found.wrong ? " wrong" : ""}` }, score(found.score))),
    element("p", { class: "run-facts" }, facts.join(" · ")),
    found.error ? element("p", { class: "error" }, found.error) : null,
    found.answer ? element("p", { class: "answer" }, found.answer) : null,
    element("ol", { class: "sources" }, ...found.sources.map((raw) => sourceItem(source(raw)))));
}

function ranks(list) {
  return list.length > 6 ? `${list.slice(0, 6).join(", ")}, …` : list.join(", ");
}

function sourceItem(item) {
  const tags = [
    item.relevant ? element("span", { class: "tag" }, "relevant") : null,
    item.holdsAnswer ? element("span", { class: "tag" }, "holds the answer") : null,
    item.cited ? element("span", { class: "tag plain" }, "cited") : null,
  ];
  const place = item.document && item.document !== item.file ? item.document : item.file;
  return element("li", { class: item.relevant ? "relevant" : null },
    element("details", {},
      element("summary", {}, element("span", { class: "place", title: item.file }, place), ...tags,
        element("span", { class: "source-score" }, `${item.route} ${item.score ?? ""}`)),
      element("p", {}, item.text)));
}
