// One line chart: a thin line a seed, their median thick, the chosen seed on top; a cursor for mouse, touch and keys.

import { count, el, number, svg } from "./build.js";

const HEIGHT = 190, LEFT = 46, RIGHT = 12, TOP = 8, BOTTOM = 26;

export function ticks(low, high, most) {
  const span = high - low || 1;
  const rough = span / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough) ?? 10 * power;
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * span; value += step) found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return found;
}

export function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${letter}`.replace("-", "−");
  }
  return number(value, 3);
}

function middle(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (!known.length) return null;
  const half = known.length >> 1;
  return known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
}

export class LineChart {
  // title: its heading; format: how a value is written; range: fixed [low, high], or null for what the values span.
  constructor(title, format = number) {
    this.title = title;
    this.format = format;
    this.cursor = null;
    this.readout = el("figcaption", { class: "readout" });
    this.picture = svg("svg", { class: "chart", tabindex: "0", role: "slider", "aria-label": `${title} over training; arrow keys read values`, "aria-valuemin": 0 });
    this.node = el("figure", { class: "panel" }, el("div", { class: "head" }, title), this.picture, this.readout);
    this.picture.addEventListener("pointermove", (event) => this.point(event));
    this.picture.addEventListener("pointerdown", (event) => this.point(event));
    this.picture.addEventListener("pointerleave", () => { if (document.activeElement !== this.picture) this.move(null); });
    this.picture.addEventListener("blur", () => this.move(null));
    this.picture.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  // data: {curve: {x, low, high?}, seeds, chosen (place or null), range, reference, alarms: [{update, sentence}], diverged: {place: update}}
  update(data) {
    this.data = data;
    this.draw();
  }

  get last() { return this.data.curve.x.length - 1; }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.move(null);
    else if (event.key in steps) this.move(Math.min(this.last, Math.max(0, (this.cursor ?? this.last) + steps[event.key])));
    else return;
    event.preventDefault();
  }

  point(event) {
    if (!this.data || !this.scale) return;
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width;
    const { curve } = this.data;
    let best = 0;
    for (let i = 1; i < curve.x.length; i++) if (Math.abs(this.scale.x(curve.x[i]) - x) < Math.abs(this.scale.x(curve.x[best]) - x)) best = i;
    this.move(best);
  }

  move(cursor) {
    this.cursor = cursor;
    this.read();
  }

  values(place) {
    const { curve } = this.data;
    const high = curve.high ?? curve.low;
    return curve.low.map((row, lane) => (row[place] === null ? null : (row[place] + high[lane][place]) / 2));
  }

  read() {
    this.line?.remove();
    if (!this.data) return;
    const { curve, seeds, chosen } = this.data;
    const place = Math.min(this.cursor ?? this.last, this.last);
    const values = this.values(place);
    const known = values.filter((value) => value !== null);
    const parts = [`${this.cursor === null ? "newest, " : ""}update ${count(curve.x[place])}`];
    if (!known.length) parts.push("no value");
    else if (known.length === 1) parts.push(this.format(known[0]));
    else parts.push(`median ${this.format(middle(values))}, ${this.format(Math.min(...known))} to ${this.format(Math.max(...known))}`);
    if (chosen !== null && seeds.length > 1) parts.push(`seed ${seeds[chosen]}: ${values[chosen] === null ? "none" : this.format(values[chosen])}`);
    const text = parts.join(" · ");
    this.readout.textContent = text + (this.cut ? ` · ${this.cut}` : "");
    this.picture.setAttribute("aria-valuenow", place);
    this.picture.setAttribute("aria-valuemax", this.last);
    this.picture.setAttribute("aria-valuetext", text);
    if (this.cursor === null || !this.scale) return;
    const x = this.scale.x(curve.x[place]);
    this.line = svg("path", { class: "cursor", d: `M${x} ${TOP}V${HEIGHT - BOTTOM}` });
    this.picture.append(this.line);
  }

  range() {
    const { curve, range } = this.data;
    this.cut = "";
    if (range) return range;
    const all = [curve.low, curve.high ?? []].flat(2).filter((value) => value !== null).sort((a, b) => a - b);
    if (!all.length) return [0, 1];
    let [low, high] = [quantile(all, 0.01), quantile(all, 0.99)];
    const whole = [all[0], all[all.length - 1]];
    // One wild seed must not flatten the others; what is cut off is said.
    if (whole[1] - whole[0] <= 3 * (high - low)) [low, high] = whole;
    else this.cut = `the axis leaves out values from ${this.format(whole[0])} to ${this.format(whole[1])}`;
    const margin = 0.06 * (high - low) || 0.1 * Math.abs(high) || 0.5;
    return [low - margin, high + margin];
  }

  draw() {
    this.width = Math.max(240, Math.round(this.node.clientWidth));
    if (!this.data || !this.node.clientWidth) return;
    const { curve, reference, alarms, diverged, chosen } = this.data;
    const [low, high] = this.range();
    const end = Math.max(1, curve.x[this.last] ?? 1);
    const x = (value) => LEFT + (value / end) * (this.width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
    this.scale = { x, y };
    const parts = [];
    const marks = ticks(low, high, 4);
    for (const value of marks) {
      parts.push(svg("path", { class: "grid", d: `M${LEFT} ${y(value)}H${this.width - RIGHT}` }));
      parts.push(svg("text", { class: "tick end", x: LEFT - 7, y: y(value) + 4 }, this.format === number ? short(value) : this.format(value)));
    }
    for (const value of ticks(0, end, this.width > 420 ? 6 : 4)) {
      const edge = x(value) > this.width - RIGHT - 14; // a label at the edge would be cut off
      parts.push(svg("text", { class: `tick ${edge ? "end" : "mid"}`, x: edge ? this.width - 2 : x(value), y: HEIGHT - 8 }, short(value)));
    }
    if (reference !== null) {
      parts.push(svg("path", { class: "reference", d: `M${LEFT} ${y(reference)}H${this.width - RIGHT}` }));
      if (!marks.some((value) => Math.abs(y(value) - y(reference)) < 13)) parts.push(svg("text", { class: "tick end", x: LEFT - 7, y: y(reference) + 4 }, this.format(reference)));
    }
    for (const alarm of alarms) parts.push(svg("path", { class: "alarm", d: `M${x(Math.min(alarm.update, end))} ${TOP}V${HEIGHT - BOTTOM}` }, svg("title", {}, alarm.sentence || alarm.status)));
    const lanes = curve.low.length;
    const thin = lanes > 16 ? "many" : lanes > 1 ? "some" : "one";
    curve.low.forEach((_, lane) => { if (lane !== chosen) parts.push(svg("path", { class: `seed ${thin}`, d: this.path(lane) })); });
    if (lanes > 1) parts.push(svg("path", { class: "median", d: this.trace(curve.x.map((_, place) => middle(this.values(place)))) }));
    if (chosen !== null) parts.push(svg("path", { class: "chosen", d: this.path(chosen) }));
    // A line needs two points; the first records are dots.
    if (curve.x.length === 1) curve.low.forEach(([value]) => { if (value !== null) parts.push(svg("circle", { class: "dot", cx: x(curve.x[0]), cy: y(value), r: 3 })); });
    for (const [lane, update] of Object.entries(diverged)) parts.push(this.cross(Number(lane), update));
    this.picture.replaceChildren(...parts.filter(Boolean));
    this.picture.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.read();
  }

  // Through the lowest and the highest value of each bucket, so that no peak is lost.
  path(lane) {
    const { curve } = this.data;
    if (!curve.high) return this.trace(curve.low[lane]);
    let d = "", pen = false;
    curve.x.forEach((update, place) => {
      const low = curve.low[lane][place];
      if (low === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${this.at(update, low)}L${this.at(update, curve.high[lane][place])}`;
      pen = true;
    });
    return d;
  }

  trace(values) {
    let d = "", pen = false;
    values.forEach((value, place) => {
      if (value === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${this.at(this.data.curve.x[place], value)}`;
      pen = true;
    });
    return d;
  }

  at(update, value) { return `${this.scale.x(update).toFixed(1)} ${this.scale.y(value).toFixed(1)}`; }

  cross(lane, update) {
    const { curve } = this.data;
    let place = -1;
    curve.x.forEach((at, i) => { if (at <= update && curve.low[lane]?.[i] !== null && curve.low[lane]?.[i] !== undefined) place = i; });
    if (place < 0) return null;
    const [cx, cy] = [this.scale.x(curve.x[place]), this.scale.y(curve.low[lane][place])];
    return svg("path", { class: "cross", d: `M${cx - 4} ${cy - 4}l8 8M${cx + 4} ${cy - 4}l-8 8` });
  }
}
