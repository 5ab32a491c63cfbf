// The newest samples of every seed, and a scrubber through training: images come as pictures, vectors as points.

import { color, count, el, number, percent, write } from "./build.js";

const PAGE = 12;

export class Samples {
  constructor(node) {
    this.node = node;
    this.run = null;
    this.place = null; // null = the newest, also when a newer one comes
    this.first = 0;
    this.request = null;
    this.playing = null;
    this.slider = el("input", { type: "range", min: 0, max: 0, step: 1, id: "scrubber" });
    this.label = el("output", { for: "scrubber" });
    this.play = el("button", { type: "button" }, "Play");
    this.back = el("button", { type: "button" }, "Earlier seeds");
    this.on = el("button", { type: "button" }, "Later seeds");
    this.pages = el("span", { class: "soft" });
    this.tiles = el("div", { class: "tiles" });
    this.note = el("p", { class: "note" });
    this.empty = el("p", { class: "note" }, "No samples are kept yet; the first snapshot is written when training starts.");
    this.controls = el("div", { class: "scrub" }, el("label", { for: "scrubber" }, "Training"), this.slider, this.play, this.label);
    this.paging = el("div", { class: "tools paging" }, this.back, this.pages, this.on);
    node.append(this.empty, this.controls, this.tiles, this.paging, this.note);
    this.slider.addEventListener("input", () => { this.stop(); this.go(Number(this.slider.value)); });
    this.play.addEventListener("click", () => (this.playing ? this.stop() : this.start()));
    this.back.addEventListener("click", () => this.turn(-PAGE));
    this.on.addEventListener("click", () => this.turn(PAGE));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.paint()).observe(this.tiles);
  }

  async show(run, chosen) {
    if (this.run !== run) { this.stop(); [this.run, this.place, this.first, this.state, this.clouds] = [run, null, 0, null, null]; this.tiles.replaceChildren(); }
    if (chosen !== this.chosen) {
      this.chosen = chosen;
      if (chosen !== null) this.first = PAGE * Math.floor(chosen / PAGE);
    }
    const answer = await fetch(`/runs/${encodeURIComponent(run)}/samples`).catch(() => null);
    if (!answer?.ok || this.run !== run) return;
    const { samples, seeds } = await answer.json();
    if (this.run !== run) return;
    [this.state, this.seeds] = [samples, seeds];
    await this.load();
  }

  get updates() { return this.state?.updates ?? []; }
  get at() { return this.place === null ? this.updates.length - 1 : Math.min(this.place, this.updates.length - 1); }

  go(place) {
    this.place = place >= this.updates.length - 1 ? null : place;
    return this.load();
  }

  turn(by) {
    this.first = Math.max(0, Math.min(this.first + by, PAGE * Math.floor((this.seeds.length - 1) / PAGE)));
    return this.load();
  }

  start() {
    if (this.updates.length < 2) return;
    write(this.play, "Pause");
    let place = this.place === null ? 0 : this.at;
    const step = async () => {
      await this.go(place);
      if (!this.playing) return;
      if (place >= this.updates.length - 1) { this.stop(); return; }
      place += 1;
      this.playing = setTimeout(step, 700);
    };
    this.playing = setTimeout(step, 0);
  }

  stop() {
    clearTimeout(this.playing);
    this.playing = null;
    write(this.play, "Play");
  }

  lanes() {
    return this.seeds.slice(this.first, this.first + PAGE).map((seed, place) => ({ seed, lane: this.first + place }));
  }

  async load() {
    const there = this.updates.length > 0 && this.seeds.length > 0;
    this.empty.hidden = there;
    this.controls.hidden = !there;
    this.paging.hidden = !there || this.seeds.length <= PAGE;
    this.note.hidden = !there;
    if (!there) { this.tiles.replaceChildren(); return; }
    const update = this.updates[this.at];
    this.slider.max = this.updates.length - 1;
    this.slider.value = this.at;
    this.slider.setAttribute("aria-valuetext", `update ${count(update)}`);
    write(this.label, `update ${count(update)}${this.place === null ? ", the newest" : ""}`);
    write(this.pages, `seeds ${this.seeds[this.first]} to ${this.seeds[Math.min(this.first + PAGE, this.seeds.length) - 1]} of ${count(this.seeds.length)}`);
    this.back.disabled = this.first === 0;
    this.on.disabled = this.first + PAGE >= this.seeds.length;
    const images = this.state.kind === "images";
    write(this.note, images ? "The same latents at every snapshot, drawn by the averaged generator; evenly picked among those kept." : `The same latents at every snapshot, drawn by the averaged generator, in one window for all snapshots${this.state.note ? ` (${this.state.note})` : ""}.`);
    this.layout(images ? "img" : "canvas");
    if (images) this.images(update);
    else await this.points(update);
  }

  layout(kind) {
    const lanes = this.lanes();
    const key = `${kind} ${lanes.map((it) => it.seed).join()}`;
    if (this.key !== key || !this.tiles.children.length) {
      this.key = key;
      this.tiles.replaceChildren(...lanes.map(({ seed, lane }) => el("figure", { class: "tile", "data-lane": lane },
        kind === "img" ? el("img", { alt: "", width: 240, height: 240 }) : el("canvas", { role: "img" }), el("figcaption", {}, `seed ${seed}`))));
    }
    this.tiles.classList.toggle("few", lanes.length <= 4);
    for (const tile of this.tiles.children) tile.classList.toggle("chosen", Number(tile.dataset.lane) === this.chosen);
  }

  images(update) {
    this.clouds = null;
    for (const { seed, lane } of this.lanes()) {
      const image = this.tile(lane)?.querySelector("img");
      if (!image) continue;
      const source = `/runs/${encodeURIComponent(this.run)}/samples/${update}/images/${lane}`;
      if (image.getAttribute("src") !== source) image.setAttribute("src", source);
      image.alt = `Images of seed ${seed} after ${count(update)} updates`;
    }
  }

  async points(update) {
    this.request?.abort();
    const request = (this.request = new AbortController());
    const lanes = this.lanes();
    const address = `/runs/${encodeURIComponent(this.run)}/samples/${update}/points/${this.first}-${lanes.length}`;
    try {
      const answer = await fetch(address, { signal: request.signal });
      this.clouds = answer.ok ? await answer.json() : [];
    } catch { return; }
    this.paint();
  }

  tile(lane) { return [...this.tiles.children].find((tile) => Number(tile.dataset.lane) === lane); }

  paint() {
    if (!this.clouds || this.state?.kind !== "points") return;
    this.lanes().forEach(({ seed, lane }, place) => {
      const tile = this.tile(lane);
      if (tile) this.scatter(tile, this.clouds[place], seed);
    });
  }

  scatter(tile, cloud, seed) {
    const canvas = tile.querySelector("canvas");
    const size = Math.round(canvas.clientWidth);
    if (!size) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(size * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = color("--m1");
    pen.globalAlpha = 0.55;
    const [left, bottom, side] = this.state.frame;
    let outside = cloud?.lost ?? 0;
    const xy = cloud?.xy ?? [];
    for (let i = 0; i < xy.length; i += 2) {
      const [x, y] = [(size * (xy[i] - left)) / side, size * (1 - (xy[i + 1] - bottom) / side)];
      if (x < 0 || y < 0 || x > size || y > size) { outside += 1; continue; }
      pen.beginPath();
      pen.arc(x, y, 1.7, 0, 7);
      pen.fill();
    }
    const total = xy.length / 2 + (cloud?.lost ?? 0);
    const away = total && outside ? `, ${percent(outside / total)} outside` : "";
    canvas.setAttribute("aria-label", `${count(total)} samples of seed ${seed} as points, window ${number(left)} to ${number(left + side)}${away}`);
    write(tile.querySelector("figcaption"), `seed ${seed}${total ? away : ", no samples"}`);
  }
}
