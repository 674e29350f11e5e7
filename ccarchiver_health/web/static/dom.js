// Creation of elements. External text only becomes a text node: no function parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === undefined || child === null || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

const shown = new WeakMap();

// Rebuild a part of the page only if its content has changed, so that neither a selection nor a
// screen reader is disturbed.
export function show(node, content, build) {
  const key = JSON.stringify(content);
  if (shown.get(node) === key) return;
  shown.set(node, key);
  node.replaceChildren(...[build(content)].flat());
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
