// A layered layout of a directed graph without cycles, after Sugiyama: layers by the longest path, order by barycentres.

const SWEEPS = 6;

/**
 * Places for the nodes `{id}` and ways for the edges `{source, target}`.
 *
 * Returns `{width, height, places: Map id -> {x, y} (of the middle), ways: [{source, target, points: [{x, y}]}]}`.
 * An edge that passes layers gets a slim stand-in in each, so that it does not run across nodes.
 */
export function layered(nodes, edges, { nodeWidth, nodeHeight, gap, layerGap }) {
  const layerOf = longestPaths(nodes, edges);
  const cells = nodes.map(({ id }) => ({ id, layer: layerOf.get(id), width: nodeWidth, above: [], below: [] }));
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  const ways = edges.map(({ source, target }) => {
    const chain = [byId.get(source)];
    for (let layer = layerOf.get(source) + 1; layer < layerOf.get(target); layer += 1) {
      chain.push({ layer, width: gap, above: [], below: [] });
      cells.push(chain.at(-1));
    }
    chain.push(byId.get(target));
    chain.slice(1).forEach((cell, step) => {
      cell.above.push(chain[step]);
      chain[step].below.push(cell);
    });
    return { source, target, chain };
  });
  const layers = [];
  for (const cell of cells) (layers[cell.layer] ??= []).push(cell);
  order(layers);
  const width = place(layers, gap);
  const step = nodeHeight + layerGap;
  for (const cell of cells) cell.y = cell.layer * step + nodeHeight / 2;
  return {
    width,
    height: layers.length * step - layerGap,
    places: new Map(cells.filter(({ id }) => id !== undefined).map(({ id, x, y }) => [id, { x, y }])),
    ways: ways.map(({ source, target, chain }) => ({ source, target, points: points(chain, nodeHeight) })),
  };
}

/** Node -> the number of its layer. What feeds a node only stands right above it. */
function longestPaths(nodes, edges) {
  const layerOf = new Map(nodes.map(({ id }) => [id, 0]));
  for (let changed = true, round = 0; changed && round < nodes.length; round += 1) {
    changed = false;
    for (const { source, target } of edges) {
      if (layerOf.get(target) > layerOf.get(source)) continue;
      layerOf.set(target, layerOf.get(source) + 1);
      changed = true;
    }
  }
  for (const { id } of nodes) {
    const next = edges.filter(({ source }) => source === id).map(({ target }) => layerOf.get(target));
    if (next.length && !edges.some(({ target }) => target === id)) layerOf.set(id, Math.min(...next) - 1);
  }
  return layerOf;
}

function order(layers) {
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const mean = new Map(layer.map((cell, now) => [cell, barycentre(down ? cell.above : cell.below, layers) ?? now]));
      layer.sort((a, b) => mean.get(a) - mean.get(b));
    }
  }
}

function barycentre(neighbours, layers) {
  if (!neighbours.length) return null;
  return neighbours.reduce((sum, cell) => sum + layers[cell.layer].indexOf(cell), 0) / neighbours.length;
}

/** Sets each `x`: the mean of the neighbours, kept apart in their order. Returns the width of all. */
function place(layers, gap) {
  for (const layer of layers)
    spread(
      layer,
      layer.map(() => 0),
      gap,
    );
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const wanted = layer.map((cell) => {
        const near = down ? cell.above : cell.below;
        return near.length ? near.reduce((sum, { x }) => sum + x, 0) / near.length : cell.x;
      });
      spread(layer, wanted, gap);
    }
  }
  const cells = layers.flat();
  const left = Math.min(...cells.map(({ x, width }) => x - width / 2));
  for (const cell of cells) cell.x -= left;
  return Math.max(...cells.map(({ x, width }) => x + width / 2));
}

function spread(layer, wanted, gap) {
  let end = -Infinity;
  layer.forEach((cell, row) => {
    cell.x = Math.max(wanted[row], end + cell.width / 2);
    end = cell.x + cell.width / 2 + gap;
  });
  // What was pushed to the right moves back by the mean, so that the layer stays over what it belongs to.
  const shift = layer.reduce((sum, cell, row) => sum + cell.x - wanted[row], 0) / layer.length;
  for (const cell of layer) cell.x -= shift;
}

function points(chain, nodeHeight) {
  const half = nodeHeight / 2;
  return chain.flatMap(({ id, x, y }, step) => {
    if (id === undefined)
      return [
        { x, y: y - half },
        { x, y: y + half },
      ];
    return [{ x, y: step ? y - half : y + half }];
  });
}
