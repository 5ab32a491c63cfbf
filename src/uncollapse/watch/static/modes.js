// Which modes live: a map of seeds and modes now, one of a seed's modes over training, and a table of what died when.

import { color, count, el, percent, write } from "./build.js";

const WORDS = ["none", "thin", "few", "fair", "many", "diverged"];
const LONG = ["no sample", "below a fifth of its fair share", "a fifth to a half of its fair share", "near its fair share", "twice its fair share or more", "not judged, the seed has diverged"];
const SHOWN_LOSSES = 100;
const alive = (level) => level >= 2 && level <= 4;

function tone(level) {
  return [[color("--panel"), 1], [color("--m2"), 0.25], [color("--m2"), 0.55], [color("--m2"), 1], [color("--m1"), 1], [color("--line"), 1]][level];
}

// One map of cells on a canvas, with a cursor for mouse, touch and keys.
class Cells {
  constructor(title) {
    this.head = el("div", { class: "head" }, title);
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.readout = el("figcaption", { class: "readout", "aria-live": "polite" });
    this.node = el("figure", { class: "cells" }, this.head, el("div", { class: "cells-scroll" }, this.canvas), this.readout);
    this.cursor = null;
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => { this.point(event); if (this.cursor) this.data.pick?.(this.cursor[0]); });
    this.canvas.addEventListener("pointerleave", () => { if (document.activeElement !== this.canvas) this.move(null); });
    this.canvas.addEventListener("blur", () => this.move(null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.node);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // data: {rows, columns, level(r, c), lost(r, c), rowNames, columnNames, chosen, say(r, c), summary, pick(r)}
  update(data) {
    this.data = data;
    if (this.cursor && (this.cursor[0] >= data.rows || this.cursor[1] >= data.columns)) this.cursor = null;
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") this.move(null);
    else if (event.key === "Enter" && this.cursor) this.data.pick?.(this.cursor[0]);
    else if (event.key in moves) {
      const [row, column] = this.cursor ?? [0, -1];
      const [down, right] = moves[event.key];
      this.move([Math.min(this.data.rows - 1, Math.max(0, row + down)), Math.min(this.data.columns - 1, Math.max(0, column + right))]);
    } else return;
    event.preventDefault();
  }

  point(event) {
    if (!this.data || !this.cell) return;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.left) / this.cell[0]);
    const row = Math.floor((event.clientY - box.top - this.top) / this.cell[1]);
    this.move(row >= 0 && column >= 0 && row < this.data.rows && column < this.data.columns ? [row, column] : null);
  }

  move(cursor) {
    this.cursor = cursor;
    this.draw();
  }

  draw() {
    const data = this.data;
    const room = Math.round(this.node.clientWidth);
    if (!data || !room) return;
    const ratio = devicePixelRatio || 1;
    const pen = this.canvas.getContext("2d");
    const type = `12.5px ${color("--sans") || "sans-serif"}`;
    pen.font = type;
    const labels = data.rowNames.map((name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name));
    this.left = Math.ceil(Math.max(...labels.map((name) => pen.measureText(name).width))) + 8;
    this.top = data.columnNames ? 18 : 2;
    const across = Math.min(34, (room - this.left - 1) / data.columns);
    this.cell = [Math.max(across, 1), data.rows > 40 ? 10 : data.rows > 16 ? 16 : Math.max(16, Math.min(24, across))];
    const width = Math.ceil(this.left + this.cell[0] * data.columns + 1);
    const height = Math.ceil(this.top + this.cell[1] * data.rows + 1);
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = type;
    this.paint(pen, labels);
    this.canvas.setAttribute("aria-label", data.summary);
    write(this.readout, this.cursor ? data.say(...this.cursor) : data.hint);
  }

  paint(pen, labels) {
    const { rows, columns, level, lost, columnNames, chosen } = this.data;
    const [wide, high] = this.cell;
    const gap = wide > 6 ? 1.5 : wide > 3 ? 0.5 : 0;
    const [line, dead, ink, muted] = ["--line", "--m0", "--ink", "--muted"].map(color);
    pen.textBaseline = "middle";
    for (let row = 0; row < rows; row++) {
      const y = this.top + row * high;
      pen.globalAlpha = 1;
      pen.fillStyle = row === chosen ? ink : muted;
      pen.textAlign = "right";
      const every = Math.ceil(13 / high);
      if (row % every === 0 || row === chosen) pen.fillText(labels[row], this.left - 8, y + high / 2);
      for (let column = 0; column < columns; column++) {
        const x = this.left + column * wide;
        const gone = lost(row, column);
        const [fill, strength] = gone ? [dead, 0.3] : tone(level(row, column));
        pen.globalAlpha = strength;
        pen.fillStyle = fill;
        pen.fillRect(x, y, wide - gap, high - gap);
        pen.globalAlpha = 1;
        if (level(row, column) === 0 && !gone && wide > 4) {
          pen.strokeStyle = line;
          pen.lineWidth = 1;
          pen.strokeRect(x + 0.5, y + 0.5, wide - gap - 1, high - gap - 1);
        }
        if (gone && wide > 8) this.cross(pen, x + (wide - gap) / 2, y + (high - gap) / 2, Math.min(wide, high) / 4.5, dead);
      }
    }
    if (columnNames) this.columns(pen, columnNames, wide, muted);
    if (this.cursor) {
      pen.strokeStyle = ink;
      pen.lineWidth = 2;
      pen.strokeRect(this.left + this.cursor[1] * wide - 1, this.top + this.cursor[0] * high - 1, Math.max(wide, 3) + 1, high + 1);
    }
  }

  columns(pen, names, wide, muted) {
    pen.fillStyle = muted;
    pen.textAlign = "center";
    const widest = Math.max(...names.map((name) => pen.measureText(name).width)) + 8;
    const every = Math.ceil(widest / wide);
    names.forEach((name, place) => { if (place % every === 0) pen.fillText(name, Math.max(this.left + (place + 0.5) * wide, pen.measureText(name).width / 2), 8); });
  }

  cross(pen, x, y, reach, stroke) {
    pen.strokeStyle = stroke;
    pen.lineWidth = 1.8;
    pen.beginPath();
    pen.moveTo(x - reach, y - reach);
    pen.lineTo(x + reach, y + reach);
    pen.moveTo(x + reach, y - reach);
    pen.lineTo(x - reach, y + reach);
    pen.stroke();
  }
}

export class Modes {
  constructor(node, pick) {
    this.pick = pick;
    this.node = node;
    this.now = new Cells("Now: a row a seed, a column a mode");
    this.past = new Cells("");
    this.empty = el("p", { class: "note" }, "No snapshot has been judged yet.");
    this.legend = el("p", { class: "legend" }, WORDS.map((word, level) => el("span", {}, el("i", { class: `swatch level-${level}` }), LONG[level])), el("span", {}, el("i", { class: "swatch lost" }, "×"), "lost: was alive before"));
    this.note = el("p", { class: "note" });
    this.losses = el("div");
    node.append(this.empty, this.legend, this.now.node, this.past.node, this.losses, this.note);
  }

  show(detail, chosen) {
    const map = detail.map;
    for (const part of [this.legend, this.now.node, this.past.node, this.losses, this.note]) part.hidden = !map;
    this.empty.hidden = Boolean(map);
    if (!map) return;
    const seeds = detail.seeds.map((entry) => entry.seed);
    const names = Array.from({ length: map.modes }, (_, k) => detail.names?.[k] ?? `mode ${k}`);
    const [last, fair] = [map.updates.length - 1, (k) => detail.fair?.[k] ?? 1 / map.modes];
    const level = (lane, time, mode) => map.levels[lane][time].charCodeAt(mode) - 48;
    const lost = (lane, time, mode) => {
      if (alive(level(lane, time, mode)) || level(lane, time, mode) === 5) return false;
      for (let before = 0; before < time; before++) if (alive(level(lane, before, mode))) return true;
      return false;
    };
    const living = seeds.map((_, lane) => names.reduce((sum, _name, mode) => sum + alive(level(lane, last, mode)), 0));
    const worst = chosen ?? living.indexOf(Math.min(...living));
    const words = (lane, time, mode) => `seed ${seeds[lane]}, ${names[mode]}, update ${count(map.updates[time])}: ${LONG[level(lane, time, mode)]} (${percent(fair(mode))})${lost(lane, time, mode) ? ", lost" : ""}`;
    this.now.node.hidden = seeds.length < 2;
    this.now.update({
      rows: seeds.length, columns: map.modes, level: (lane, mode) => level(lane, last, mode), lost: (lane, mode) => lost(lane, last, mode),
      rowNames: seeds.map((seed) => `seed ${seed}`), columnNames: names.map((_, k) => (detail.names && map.modes <= 26 ? names[k].replace(/^\D+ /, "") : `${k}`)), chosen: worst, pick: (lane) => this.pick(lane),
      say: (lane, mode) => words(lane, last, mode), hint: `Update ${count(map.updates[last])}. Point at a cell, or use the arrow keys; Enter or a click chooses the seed.`,
      summary: `Modes alive at update ${count(map.updates[last])}: ${seeds.slice(0, 64).map((seed, lane) => `seed ${seed} ${living[lane]} of ${map.modes}`).join(", ")}`,
    });
    write(this.past.head, `Seed ${seeds[worst]} over training: a row a mode${chosen === null && seeds.length > 1 ? " (the seed with the fewest living modes; choose another above)" : ""}`);
    this.past.update({
      rows: map.modes, columns: map.updates.length, level: (mode, time) => level(worst, time, mode), lost: (mode, time) => lost(worst, time, mode),
      rowNames: names, columnNames: map.updates.map((update) => (update >= 10_000 ? `${Math.round(update / 1000)}k` : count(update))), chosen: null,
      say: (mode, time) => words(worst, time, mode), hint: "A column a snapshot; the early ones are dense, because collapse starts early.",
      summary: `Modes of seed ${seeds[worst]} over ${map.updates.length} snapshots; ${living[worst]} of ${map.modes} are alive in the newest`,
    });
    this.table(map, seeds, names);
    const known = detail.fair ? "" : " The fair shares are not in the directory yet; every mode is taken to have the same.";
    write(this.note, `Alive: at least a fifth of the fair share of the ${detail.weights} generator's samples, whatever their quality; solid modes count the good ones only.${known}`);
  }

  table(map, seeds, names) {
    if (!map.lost_count) { this.losses.replaceChildren(el("p", { class: "note" }, "No seed has lost a mode that it had.")); return; }
    const rows = map.lost.slice(0, SHOWN_LOSSES).map(([lane, mode, since, lost]) => el("tr", {}, el("th", { scope: "row" }, `seed ${seeds[lane]}`), el("td", {}, names[mode]), el("td", {}, count(since)), el("td", {}, count(lost))));
    const more = map.lost_count > rows.length ? el("p", { class: "note" }, `The newest ${rows.length} of ${count(map.lost_count)} lost modes.`) : null;
    const head = el("thead", {}, el("tr", {}, ["Seed", "Lost mode", "Alive from", "Gone by update"].map((title) => el("th", { scope: "col" }, title))));
    this.losses.replaceChildren(el("h3", {}, "Lost modes"), el("div", { class: `scroll ${rows.length > 12 ? "long" : ""}`, tabindex: "0", role: "region", "aria-label": "Lost modes" }, el("table", { class: "compact" }, head, el("tbody", {}, rows))), ...(more ? [more] : []));
  }
}
