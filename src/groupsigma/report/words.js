"use strict";
// Numbers as the command line writes them, and elements that are text and nothing else.
const words = (() => {
  // Rounded as Python does: a tie goes to the even digit.
  function fixed(x, digits) {
    const text = Math.abs(x).toFixed(digits), scaled = Math.abs(x) * 10 ** digits, low = Math.floor(scaled);
    const tie = scaled - low === 0.5 && Number(scaled.toPrecision(15)) === scaled && low % 2 === 0;
    const [whole, part] = (tie ? (low / 10 ** digits).toFixed(digits) : text).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    const out = part === undefined ? grouped : `${grouped}.${part}`;
    return x < 0 && Number(text) !== 0 ? `−${out}` : out;
  }
  const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : `${fixed(100 * x, digits)}%`);
  const number = (x, digits = 2) => (x === null || x === undefined || !isFinite(x) ? "–" : fixed(x, digits));

  // An element with attributes and children; strings become text, never markup.
  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.map((child) => (typeof child === "string" ? document.createTextNode(child) : child)));
    return node;
  }

  // The same for SVG.
  function shape(name, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.map((child) => (typeof child === "string" ? document.createTextNode(child) : child)));
    return node;
  }

  const byId = (id) => document.getElementById(id);
  const data = (id) => JSON.parse(byId(id).textContent);
  return { fixed, percent, number, element, shape, byId, data };
})();
