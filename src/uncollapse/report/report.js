// What the report's page does beyond being read: it opens what a link points to, sorts tables, tells the value under
// the pointer or the arrow keys, and leafs through training. Names from files are only ever set as text.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  function make(tag, facts = {}, ...children) {
    const node = tag === "circle" || tag === "line" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(facts)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // Deep links -------------------------------------------------------------------------------------------------------

  function reveal() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no such name */ }
    if (!target) return;
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);

  // Paper: everything that is folded is printed ------------------------------------------------------------------------

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const node of folded) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of folded) node.open = false; });

  // Tables -------------------------------------------------------------------------------------------------------------

  // The number or the text that a cell is sorted by; null for an empty one, which stays last in either direction.
  function keyOf(cell) {
    if (!cell) return null;
    if (cell.dataset.v !== undefined) return cell.dataset.v === "" ? null : Number(cell.dataset.v);
    if (cell.querySelector(".none")) return null;
    const text = cell.textContent.trim();
    if (text === "") return null;
    if (cell.tagName === "TH") return text; // a name, also where it begins with a number
    const number = /^[+−-]?[\d,]*\.?\d+(?=$|[ %[(])/.exec(text);
    return number ? Number(number[0].replaceAll(",", "").replace("−", "-")) : text;
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  }

  function sort(table, head, column) {
    const body = table.tBodies[0], rows = [...body.rows];
    const keys = new Map(rows.map((row) => [row, keyOf(row.cells[column])]));
    const numbers = [...keys.values()].some((key) => typeof key === "number");
    const now = head.getAttribute("aria-sort");
    const falling = now ? now === "ascending" : numbers; // numbers begin with the largest, names with A
    rows.sort((a, b) => {
      const one = keys.get(a), other = keys.get(b);
      if (one === null || other === null) return (one === null) - (other === null);
      return falling ? compare(other, one) : compare(one, other);
    });
    body.append(...rows);
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  }

  function sortable(table) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.classList.contains("drawn")) return; // an axis, not a name
      const button = make("button", { type: "button", class: "sort" }), words = head.textContent.trim();
      for (const link of all("a", head)) { // a link is no part of a button: its words are, and it stands beside as a mark
        if (!link.matches(".why")) {
          link.before(...link.childNodes);
          link.className = "why";
          link.setAttribute("aria-label", `What ${words} means`);
        }
        head.append(link);
      }
      button.append(...[...head.childNodes].filter((node) => node.tagName !== "A"));
      head.prepend(button);
      head.classList.add("sorts");
      head.addEventListener("click", (event) => { if (!event.target.closest("a")) sort(table, head, column); });
    });
  }

  // Values of the plots --------------------------------------------------------------------------------------------------

  // Whole numbers, such as updates, with all their digits.
  const digits = (value) => (Number.isInteger(value) ? {} : { maximumSignificantDigits: 6 });
  const write = (value) => (typeof value === "number" ? value.toLocaleString("en", digits(value)).replace("-", "−") : value);

  class Reading {
    constructor(picture) {
      this.picture = picture;
      this.data = JSON.parse(picture.dataset.values);
      this.lines = this.data.lines.map((line) => {
        const { at, px } = this.data.grids[line.grid];
        const points = line.y.map((y, i) => ({ x: px[i], y: line.py[i], words: this.say(line, at[i], y, i), there: y !== null }));
        return points.filter((point) => point.there);
      });
      this.line = this.place = 0;
      this.tip = make("div", { class: "tip", hidden: "" });
      this.ring = make("circle", { class: "ring", r: 6 });
      this.ruler = make("line", { class: "ruler" });
      this.field = make("div", { class: "reads" });
      picture.replaceWith(this.field);
      this.field.append(picture, this.tip);
      const last = Math.max(...this.lines.map((line) => line.length)) - 1;
      for (const [key, value] of Object.entries({ role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": last, "aria-valuenow": 0, "aria-valuetext": "arrow keys read the values" })) picture.setAttribute(key, value);
      picture.addEventListener("pointermove", (event) => this.near(event));
      picture.addEventListener("pointerdown", (event) => this.near(event));
      picture.addEventListener("pointerleave", () => { if (document.activeElement !== picture) this.hide(); });
      picture.addEventListener("focus", () => this.show());
      picture.addEventListener("blur", () => this.hide());
      picture.addEventListener("keydown", (event) => this.key(event));
    }

    say(line, at, y, i) {
      const where = `${line.name}: ${this.data.x} ${write(at)}`;
      return line.said ? `${where}, ${line.said[i]}` : `${where}, ${this.data.y} ${write(y)}${this.data.unit}`;
    }

    near(event) {
      const box = this.picture.getBoundingClientRect(), view = this.picture.viewBox.baseVal;
      const x = ((event.clientX - box.left) / box.width) * view.width, y = ((event.clientY - box.top) / box.height) * view.height;
      let best = Infinity;
      this.lines.forEach((line, i) => line.forEach((point, j) => {
        const far = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (far <= best) [best, this.line, this.place] = [far, i, j]; // of equal ones the last drawn, which lies on top
      }));
      this.show();
    }

    key(event) {
      const line = this.lines[this.line], steps = { ArrowLeft: -1, ArrowRight: 1, Home: -line.length, End: line.length };
      if (event.key === "Escape") return this.hide();
      if (event.key in steps) this.place += steps[event.key];
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const x = line[this.place].x, count = this.lines.length;
        this.line = (this.line + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
        const far = this.lines[this.line].map((point) => Math.abs(point.x - x));
        this.place = far.indexOf(Math.min(...far));
      } else return;
      event.preventDefault();
      this.show();
    }

    show() {
      const line = this.lines[this.line];
      this.place = Math.min(Math.max(this.place, 0), line.length - 1);
      const point = line[this.place], view = this.picture.viewBox.baseVal;
      for (const [key, value] of Object.entries({ x1: point.x, x2: point.x, y1: 0, y2: view.height })) this.ruler.setAttribute(key, value);
      this.ring.setAttribute("cx", point.x);
      this.ring.setAttribute("cy", point.y);
      this.picture.append(this.ruler, this.ring);
      this.picture.setAttribute("aria-valuenow", this.place);
      this.picture.setAttribute("aria-valuetext", point.words);
      this.tip.textContent = point.words;
      this.tip.hidden = false;
      const scale = this.field.clientWidth / view.width, room = this.field.clientWidth - this.tip.offsetWidth;
      const above = point.y * scale - this.tip.offsetHeight - 12;
      this.tip.style.left = `${Math.max(0, Math.min(room, point.x * scale - this.tip.offsetWidth / 2))}px`;
      this.tip.style.top = `${above >= 0 ? above : point.y * scale + 12}px`;
    }

    hide() {
      this.tip.hidden = true;
      this.ring.remove();
      this.ruler.remove();
    }
  }

  // Through training -------------------------------------------------------------------------------------------------------

  class Scrubber {
    constructor(film) {
      const rows = all(".row", film).map((row) => ({ head: row.querySelector(".head"), shots: all("figure[data-update]", row).sort((a, b) => a.dataset.update - b.dataset.update) }));
      this.updates = [...new Set(rows.flatMap((row) => row.shots.map((shot) => Number(shot.dataset.update))))].sort((a, b) => a - b);
      if (this.updates.length < 2) return;
      this.slider = make("input", { type: "range", min: 0, max: this.updates.length - 1, step: 1, "aria-label": `Critic update on ${film.dataset.task}` });
      this.told = make("output");
      this.screens = rows.map((row) => this.screen(row));
      const bar = make("div", { class: "scrub" }, this.slider, this.told);
      if (!still.matches) bar.prepend(this.button());
      film.prepend(make("div", { class: rows.length > 4 ? "stage" : "stage few" }, bar, make("div", { class: "screens" }, ...this.screens.map((screen) => screen.node))));
      const strips = film.querySelector("details");
      if (rows.length > 4) strips.open = false;
      this.slider.addEventListener("input", () => this.show());
      strips.addEventListener("click", (event) => {
        const shot = event.target.closest("figure[data-update]");
        if (shot) this.go(this.updates.indexOf(Number(shot.dataset.update)));
      });
      this.go(this.updates.length - 1);
    }

    screen({ head, shots }) {
      const picture = make("img", { alt: "" }), frame = make("div", { class: "frame" }, picture), note = make("figcaption");
      const over = shots[0].querySelector("img.over");
      if (over) frame.append(over.cloneNode());
      return { picture, note, shots, node: make("figure", { class: "shot" }, head.cloneNode(true), frame, note) };
    }

    button() {
      const button = make("button", { type: "button", class: "play" }, "Play");
      let timer = 0;
      const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
      button.addEventListener("click", () => {
        if (timer) return stop();
        if (this.place === this.updates.length - 1) this.go(0);
        button.textContent = "Pause";
        timer = setInterval(() => { if (this.place === this.updates.length - 1) stop(); else this.go(this.place + 1); }, 600);
      });
      return button;
    }

    get place() { return Number(this.slider.value); }

    go(place) {
      this.slider.value = place;
      this.show();
    }

    show() {
      const update = this.updates[this.place], words = `update ${write(update)}`;
      this.slider.setAttribute("aria-valuetext", words);
      this.told.textContent = `${words} of ${write(this.updates.at(-1))}`;
      for (const { picture, note, shots } of this.screens) {
        const shot = shots.findLast((it) => Number(it.dataset.update) <= update) ?? shots[0];
        const source = shot.querySelector("img");
        picture.hidden = !source;
        if (source) [picture.src, picture.alt] = [source.src, source.alt];
        note.textContent = `update ${write(Number(shot.dataset.update))}`;
        for (const it of shots) it.classList.toggle("now", it === shot);
      }
    }
  }

  document.documentElement.classList.add("alive");
  for (const table of all("table.sortable")) sortable(table);
  for (const picture of all("svg[data-values]")) new Reading(picture);
  for (const film of all(".film")) new Scrubber(film);
  reveal();
})();
