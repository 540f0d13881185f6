// The drawing of the graph, with the times and routes of an answer on it.

import { svg } from "./dom.js";
import { duration } from "./format.js";
import { t } from "./i18n.js";
import { layered } from "./layers.js";
import { routesOf } from "./sources.js";

// As in the style sheet: SVG does not cut texts to their boxes, so that they are measured here.
const NAME = "620 13px";
const DETAIL = "400 11.5px";
const PILL = "600 11px";
const WIDEST = 300;
const FAMILIES = {
  corpus: "data",
  node_group: "data",
  query: "end",
  answer: "end",
  model: "model",
  rewrite: "model",
  rerank: "model",
  retrieve: "route",
  milvus: "route",
  keyword: "route",
  merge: "flow",
  ifs: "flow",
  context: "flow",
};

/** An SVG of the graph, for `space` pixels; of an `answer`, where there is one, each step's time and the routes' sources. */
export function drawing({ nodes, edges }, answer, space) {
  const slim = space < 560;
  const box = {
    nodeWidth: slim ? 132 : 208,
    nodeHeight: slim ? 54 : 60,
    gap: slim ? 14 : 28,
    layerGap: slim ? 30 : 40,
  };
  const least = layered(nodes, edges, box).width;
  if (!slim) box.nodeWidth = Math.min(WIDEST, Math.max(box.nodeWidth, Math.floor((box.nodeWidth * space) / least)));
  const { width, height, places, ways } = layered(nodes, edges, box);
  const scale = Math.min(1, Math.max(space / width, 0.62)); // smaller could not be read: the rest is panned to
  const times = timesOf(nodes, answer);
  const most = Math.max(...times.values(), 1);
  const counts = answer ? countsOf(answer) : new Map();
  return svg(
    "svg",
    {
      class: "graph",
      width: width * scale + 8,
      height: height * scale + 24,
      viewBox: `-4 -12 ${width + 8 / scale} ${height + 24 / scale}`,
      role: "list",
      "aria-label": t("nav.graph"),
    },
    svg("defs", {}, ["arrow", "lit-arrow"].map(arrow)),
    ways.map(({ source, target, points }) => {
      const lit = fed(source, counts, nodes);
      return svg("path", {
        class: lit ? "edge lit" : "edge",
        d: curve(points),
        "marker-end": lit ? "url(#lit-arrow)" : "url(#arrow)",
        "data-edge": `${source} ${target}`,
      });
    }),
    nodes.map((node) => drawn(node, places.get(node.id), box, times.get(node.id), most, counts.get(nameOf(node)))),
  );
}

function drawn(node, { x, y }, { nodeWidth, nodeHeight }, ms, most, found) {
  const family = FAMILIES[node.kind] ?? "flow";
  const left = x - nodeWidth / 2;
  const top = y - nodeHeight / 2;
  const [name, ...rest] = node.label.split(": ");
  const room = nodeWidth - 28;
  const time = ms === undefined ? null : duration(ms);
  const said = [node.label, time, family === "route" && found !== undefined && t("graph.found", { n: found })]
    .filter(Boolean)
    .join(", ");
  return svg(
    "g",
    { class: `node ${family}`, role: "listitem", "aria-label": said, "data-node": node.id },
    svg("title", {}, said),
    svg("rect", { class: "box", x: left, y: top, width: nodeWidth, height: nodeHeight, rx: 10 }),
    ms !== undefined &&
      svg("rect", {
        class: "heat",
        x: left,
        y: top,
        width: nodeWidth,
        height: nodeHeight,
        rx: 10,
        "fill-opacity": (0.05 + 0.3 * (ms / most)).toFixed(3),
      }),
    svg("rect", { class: "stripe", x: left + 7, y: top + 14, width: 3.5, height: nodeHeight - 28, rx: 1.75 }),
    svg("text", { class: "node-name", x: left + 19, y: y - 4 }, cut(name, room, NAME)),
    rest.length > 0 &&
      svg("text", { class: "node-detail", x: left + 19, y: y + 14 }, cut(rest.join(": "), room, DETAIL)),
    time && pill(left + nodeWidth - 8, top, time, "time"),
    family === "route" &&
      found !== undefined &&
      pill(left + nodeWidth - 8, top + nodeHeight, t("graph.found", { n: found }), "found"),
  );
}

function arrow(id) {
  return svg(
    "marker",
    {
      id,
      viewBox: "0 0 8 8",
      refX: 7,
      refY: 4,
      markerWidth: 11,
      markerHeight: 11,
      markerUnits: "userSpaceOnUse",
      orient: "auto",
    },
    svg("path", { d: "M1 1l6 3-6 3z", class: id }),
  );
}

function pill(right, middle, text, kind) {
  const width = wide(text, PILL) + 14;
  return svg(
    "g",
    { class: `pill ${kind}` },
    svg("rect", { x: right - width, y: middle - 9, width, height: 18, rx: 9 }),
    svg("text", { x: right - width / 2, y: middle + 4, "text-anchor": "middle" }, text),
  );
}

function curve(points) {
  const [first, ...rest] = points;
  let before = first;
  return rest.reduce((path, point) => {
    const bend = (point.y - before.y) / 2;
    const piece = ` C${before.x} ${before.y + bend} ${point.x} ${point.y - bend} ${point.x} ${point.y}`;
    before = point;
    return path + piece;
  }, `M${first.x} ${first.y}`);
}

/** Node -> milliseconds of the last question, of the steps that ran. A node's `span` says which span is its own. */
function timesOf(nodes, answer) {
  const spent = new Map();
  for (const { stage, name, ms } of answer?.spans ?? [])
    spent.set(`${stage}:${name}`, (spent.get(`${stage}:${name}`) ?? 0) + ms);
  return new Map(nodes.filter(({ span }) => spent.has(span)).map(({ id, span }) => [id, spent.get(span)]));
}

/** Route -> how many sources it has found. */
function countsOf({ sources }) {
  const counts = new Map();
  for (const route of sources.flatMap(routesOf)) counts.set(route, (counts.get(route) ?? 0) + 1);
  return counts;
}

function nameOf(node) {
  return node.label.split(": ")[0];
}

function fed(source, counts, nodes) {
  const node = nodes.find(({ id }) => id === source);
  return FAMILIES[node.kind] === "route" && counts.has(nameOf(node));
}

const pen = document.createElement("canvas").getContext("2d");

/** The width of a text in pixels. */
function wide(text, font) {
  pen.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

function cut(text, room, font) {
  if (wide(text, font) <= room) return text;
  const letters = [...text];
  while (letters.length && wide(`${letters.join("")}…`, font) > room) letters.pop();
  return `${letters.join("").trimEnd()}…`;
}
