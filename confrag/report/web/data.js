// The embedded data, as confrag/report/payload.py writes it: short lists, and texts by number.
const DATA = JSON.parse(document.getElementById("data").textContent);
const WRONG = 1, CACHED = 2, PARTIAL = 4;
const RELEVANT = 1, HOLDS_ANSWER = 2, CITED = 4;

const textOf = (number) => (number === null ? null : DATA.texts[number]);

function source([document_, file, route, text, score_, flags]) {
  return {
    document: textOf(document_), file: textOf(file), route: textOf(route), text: textOf(text), score: score_,
    relevant: (flags & RELEVANT) > 0, holdsAnswer: (flags & HOLDS_ANSWER) > 0, cited: (flags & CITED) > 0,
  };
}

// What a job did with a query; null where it was not asked.
function run(query, job) {
  const raw = query.runs[job];
  if (!raw) return null;
  const [score_, answer, sources, ranks, error, ms, flags] = raw;
  return {
    score: score_, answer: textOf(answer), sources, ranks, error, ms,
    wrong: (flags & WRONG) > 0, cached: (flags & CACHED) > 0, partial: (flags & PARTIAL) > 0,
    // Jobs with the same answer, score and sources are shown as one; scores of sources depend on the store.
    same: JSON.stringify([score_, answer, sources.map((s) => [s[0], s[3]]), ranks, error]),
  };
}

function spread(query, jobs) {
  const scores = jobs.map((job) => query.runs[job]?.[0]).filter((value) => value !== null && value !== undefined);
  return scores.length ? Math.max(...scores) - Math.min(...scores) : 0;
}

function mean(query, jobs) {
  const scores = jobs.map((job) => query.runs[job]?.[0]).filter((value) => value !== null && value !== undefined);
  return scores.length ? scores.reduce((sum, value) => sum + value, 0) / scores.length : 1;
}
