// Elements, always with text as text: documents and answers are never markup.
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function option(value, text) {
  return element("option", { value }, text);
}

function score(value) {
  return value === null ? "–" : value.toFixed(3);
}

function duration(milliseconds) {
  if (milliseconds === null) return "";
  if (milliseconds < 1000) return `${milliseconds < 10 ? milliseconds.toPrecision(2) : Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function counted(number, one, several) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : several}`;
}
