// Elements and small texts. Everything that comes from the directory becomes a text node here, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

// Writes only what differs, so that a reader's selection and focus survive.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(1).replace("-", "−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${number(100 * value, 3)} %`;
}

export function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole < 600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.round(whole / 60)} min`;
  const hours = Math.floor(whole / 3600);
  return hours < 48 ? `${hours} h ${Math.round((whole % 3600) / 60)} min` : `${Math.round(hours / 24)} days`;
}

export function silence(minutes) {
  return minutes < 1 ? "less than a minute" : duration(60 * minutes).replace(/ 0 s$/, "");
}

// Seeds as ranges: 0-3, 9.
export function seedText(seeds) {
  const spans = [];
  for (const seed of [...seeds].sort((a, b) => a - b)) {
    const last = spans[spans.length - 1];
    if (last && seed === last[1] + 1) last[1] = seed;
    else spans.push([seed, seed]);
  }
  return spans.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(", ");
}

// "3–7 of 8" for the newest solid modes over the seeds.
export function solidText(row) {
  if (!row.solid) return "–";
  const [low, , high] = row.solid;
  const span = low === high ? count(low) : `${count(low)}–${count(high)}`;
  return row.modes ? `${span} of ${count(row.modes)}` : span;
}

export const STATUS = {
  waiting: "waiting", training: "training", judging: "being judged", stalled: "stalled", failed: "failed", finished: "finished",
};

export function statusMark(status) {
  return el("span", { class: `mark ${status in STATUS ? status : "waiting"}`, "aria-hidden": "true" });
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
