// The table of runs: patched in place, sorted and filtered here; a row is chosen by its button or anywhere in it.

import { STATUS, count, duration, el, percent, plural, seedText, silence, solidText, statusMark, write } from "./build.js";

const FILTERS = { all: () => true, active: (row) => ["training", "judging"].includes(row.status), trouble: (row) => ["stalled", "failed"].includes(row.status) || row.diverged > 0 || row.alarms > 0 || Boolean(row.trouble), waiting: (row) => row.status === "waiting", finished: (row) => row.status === "finished" };
const NAMES = { all: "all", active: "at work", trouble: "with trouble", waiting: "waiting", finished: "finished" };
const done = (row) => (row.updates ? row.update / row.updates : 0);
const COLUMNS = [
  ["method", "Method", (row) => row.method.toLowerCase()],
  ["task", "Task", (row) => row.task.toLowerCase()],
  ["seeds", "Seeds", (row) => row.n],
  ["progress", "Progress", done],
  ["status", "Status", (row) => Object.keys(STATUS).indexOf(row.status)],
  ["left", "Time left", (row) => row.left ?? Infinity],
  ["solid", "Solid modes", (row) => (row.solid ? row.solid[1] / (row.modes || 1) : -1)],
  ["diverged", "Diverged", (row) => row.diverged],
  ["alarms", "Alarms", (row) => row.alarms],
];

export function statusText(row) {
  if (row.status === "stalled") return `stalled, nothing written for ${silence(row.silent)}`;
  if (row.behind !== null && row.behind !== undefined) return `${STATUS[row.status]}, ${percent(1 - row.behind)} read`;
  return STATUS[row.status] ?? row.status;
}

export class Runs {
  constructor(choose) {
    this.choose = choose;
    this.section = document.getElementById("runs");
    this.body = this.section.querySelector("tbody");
    this.lines = new Map();
    this.sort = null;
    this.down = false;
    this.select = document.getElementById("runs-status");
    this.find = document.getElementById("runs-find");
    this.select.append(...Object.keys(FILTERS).map((key) => el("option", { value: key }, NAMES[key])));
    this.select.addEventListener("change", () => this.arrange());
    this.find.addEventListener("input", () => this.arrange());
    this.heads = COLUMNS.map(([key, title]) => {
      const button = el("button", { type: "button", class: "sort" }, title);
      button.addEventListener("click", () => this.order(key));
      return el("th", { scope: "col", class: key }, button);
    });
    this.section.querySelector("thead").append(el("tr", {}, this.heads));
  }

  order(key) {
    // Once up, once down, then as planned.
    if (this.sort !== key) [this.sort, this.down] = [key, !["method", "task"].includes(key)];
    else if (this.down === !["method", "task"].includes(key)) this.down = !this.down;
    else this.sort = null;
    this.heads.forEach((head, place) => {
      const mine = COLUMNS[place][0] === this.sort;
      if (mine) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.arrange();
  }

  update(rows, chosen) {
    this.rows = rows;
    this.section.hidden = rows.size < 2;
    for (const row of rows.values()) this.line(row, row.id === chosen);
    this.arrange();
  }

  line(row, chosen) {
    let line = this.lines.get(row.id);
    if (!line) {
      const cells = Object.fromEntries(COLUMNS.slice(1).map(([key]) => [key, el("td", { class: key })]));
      const button = el("button", { type: "button", class: "pick" });
      const under = el("small", { class: "under" });
      const bar = el("span", { class: "mini", "aria-hidden": "true" }, el("span"));
      const share = el("span", { class: "share" });
      cells.progress.append(bar, share);
      const node = el("tr", {}, el("th", { scope: "row", class: "method" }, button, under), Object.values(cells));
      node.addEventListener("click", () => this.choose(row.id));
      line = { node, cells, button, under, bar: bar.firstChild, share, mark: "" };
      this.lines.set(row.id, line);
    }
    write(line.button, row.method);
    line.button.setAttribute("aria-pressed", String(chosen));
    line.node.classList.toggle("chosen", chosen);
    write(line.cells.task, row.task);
    write(line.under, `${row.task}, ${plural(row.n, "seed")}`);
    write(line.cells.seeds, row.n ? `${count(row.n)}: ${seedText(row.seeds)}` : "–");
    line.cells.seeds.title = seedText(row.seeds);
    line.bar.parentNode.className = `mini ${row.status}`;
    line.bar.style.width = `${(100 * done(row)).toFixed(1)}%`;
    write(line.share, `${count(row.update)} of ${count(row.updates)}`);
    if (line.mark !== row.status + statusText(row)) {
      line.mark = row.status + statusText(row);
      line.cells.status.replaceChildren(statusMark(row.status), statusText(row));
    }
    write(line.cells.left, row.left === null ? "" : duration(row.left));
    write(line.cells.solid, solidText(row));
    write(line.cells.diverged, row.diverged ? plural(row.diverged, "seed") : "");
    write(line.cells.alarms, row.alarms ? count(row.alarms) : "");
    line.cells.diverged.classList.toggle("bad", row.diverged > 0);
    line.cells.alarms.classList.toggle("bad", row.alarms > 0);
  }

  arrange() {
    const wanted = this.find.value.trim().toLowerCase();
    const shown = [...this.rows.values()].filter((row) => FILTERS[this.select.value](row) && `${row.method} ${row.task} ${row.folder}`.toLowerCase().includes(wanted));
    const column = COLUMNS.find(([key]) => key === this.sort);
    if (column) {
      const places = new Map([...this.rows.keys()].map((id, place) => [id, place]));
      shown.sort((a, b) => {
        const [x, y] = [column[2](a), column[2](b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (this.down ? -1 : 1) || places.get(a.id) - places.get(b.id);
      });
    }
    const order = shown.map((row) => this.lines.get(row.id).node);
    if (order.length !== this.body.children.length || order.some((node, place) => this.body.children[place] !== node)) {
      const focus = document.activeElement;
      this.body.replaceChildren(...order);
      if (this.body.contains(focus)) focus.focus();
    }
    document.getElementById("runs-none").hidden = shown.length > 0;
  }
}
