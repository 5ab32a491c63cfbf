// The selected run: its progress, and the tabs curves, samples, modes, events, seeds.

import { count, duration, el, number, percent, plural, seedText, statusMark, write } from "./build.js";
import { LineChart } from "./chart.js";
import { Modes } from "./modes.js";
import { statusText } from "./runs.js";
import { Samples } from "./samples.js";

export const TABS = { curves: "Curves", samples: "Samples", modes: "Modes", events: "Alarms", seeds: "Seeds" };
const CHARTS = [["modes_solid", "Solid modes", count], ["critic", "Critic loss", number], ["generator", "Generator loss", number], ["modes_hit", "Modes hit", count], ["high_quality_share", "High-quality share", percent]];

export class Detail {
  // host: {tab, seed, setTab(tab), setSeed(seed)}
  constructor(host) {
    this.host = host;
    this.id = null;
    this.data = null;
    this.asked = 0;
    this.tabs = new Map();
    this.list = document.querySelector("#detail [role=tablist]");
    this.seed = document.getElementById("seed");
    this.seed.addEventListener("change", () => host.setSeed(this.seed.value === "" ? null : Number(this.seed.value)));
    for (const [key, title] of Object.entries(TABS)) this.tab(key, title);
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.charts = new Map(CHARTS.map(([key, title, format]) => [key, new LineChart(title, format)]));
    const note = el("p", { class: "note" }, "Thin: a seed. Bold: the median over seeds. Orange: the chosen seed. Dashed: all modes; dotted upright: an alarm; a cross: where a seed diverged.");
    this.none = el("p", { class: "note" });
    this.panel("curves").append(this.none, el("div", { class: "panels" }, [...this.charts.values()].map((chart) => chart.node)), note);
    this.samples = new Samples(this.panel("samples"));
    this.modes = new Modes(this.panel("modes"), (lane) => host.setSeed(this.data.seeds[lane].seed));
  }

  tab(key, title) {
    const badge = el("span", { class: "badge", hidden: true });
    const button = el("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `panel-${key}` }, title, " ", badge);
    button.addEventListener("click", () => this.host.setTab(key));
    const panel = el("div", { role: "tabpanel", id: `panel-${key}`, "aria-labelledby": `tab-${key}`, tabindex: "0" });
    this.list.append(button);
    document.getElementById("panels").append(panel);
    this.tabs.set(key, { button, panel, badge });
  }

  panel(key) { return this.tabs.get(key).panel; }

  key(event) {
    const keys = Object.keys(TABS);
    const place = keys.indexOf(this.host.tab);
    const next = { ArrowRight: (place + 1) % keys.length, ArrowLeft: (place + keys.length - 1) % keys.length, Home: 0, End: keys.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.host.setTab(keys[next]);
    this.tabs.get(keys[next]).button.focus();
  }

  // Asks for the run when its row says that there is news, and not more often than every second and a half.
  async follow(row) {
    this.row = row;
    this.head();
    if (this.id !== row.id) { [this.id, this.data, this.asked] = [row.id, null, 0]; this.body(); }
    if (this.busy || this.data?.version === row.version) return;
    const wait = 1500 - (Date.now() - this.asked);
    if (wait > 0) { clearTimeout(this.later); this.later = setTimeout(() => this.follow(this.row), wait); return; }
    this.busy = true;
    this.asked = Date.now();
    try {
      const answer = await fetch(`/runs/${encodeURIComponent(row.id)}`);
      const data = answer.ok ? await answer.json() : null;
      if (data && data.id === this.id) { this.data = data; this.body(); }
    } catch { /* the connection is down; the stream of changes says so and tries again */ } finally { this.busy = false; }
    if (this.row.id !== row.id) this.follow(this.row);
  }

  head() {
    const row = this.row;
    write(document.getElementById("detail-title"), `${row.method} on ${row.task}`);
    const share = row.updates ? (100 * row.update) / row.updates : 0;
    const bar = document.getElementById("detail-bar");
    bar.firstElementChild.style.width = `${share.toFixed(1)}%`;
    bar.className = `bar ${row.status}`;
    bar.setAttribute("aria-valuenow", share.toFixed(0));
    bar.setAttribute("aria-valuetext", `${count(row.update)} of ${count(row.updates)} updates, ${statusText(row)}`);
    const parts = [[statusMark(row.status), statusText(row)], `${count(row.update)} of ${count(row.updates)} updates`, plural(row.n, "seed") + (row.n ? ` (${seedText(row.seeds)})` : "")];
    if (row.left !== null) parts.push(`about ${duration(row.left)} left`);
    if (row.speed !== null) parts.push(`${count(row.speed)} updates/s over all seeds`);
    if (row.diverged) parts.push(`${plural(row.diverged, "seed")} diverged`);
    const facts = document.getElementById("detail-facts");
    const key = JSON.stringify([row.status, statusText(row), parts.slice(1)]);
    if (this.facts !== key) {
      this.facts = key;
      facts.replaceChildren(...parts.map((part) => el("span", {}, part)));
    }
    this.notices();
    const events = row.alarms + row.diverged;
    const badge = this.tabs.get("events").badge;
    badge.hidden = !events;
    write(badge, events ? count(events) : "");
  }

  notices() {
    const lines = [];
    if (this.row.status === "stalled") lines.push("Nothing has been written for long: the training has stopped or hangs. The same command continues it from its newest checkpoint.");
    if (this.row.status === "failed") lines.push(`Failed: ${this.data?.error || "see error.log in the run's folder"}`);
    if (this.row.trouble) lines.push(this.row.trouble);
    const box = document.getElementById("detail-notices");
    if (box.textContent !== lines.join("")) box.replaceChildren(...lines.map((line) => el("p", { class: "warn" }, line)));
  }

  body() {
    for (const [key, { button, panel }] of this.tabs) {
      const mine = key === this.host.tab;
      button.setAttribute("aria-selected", String(mine));
      button.tabIndex = mine ? 0 : -1;
      panel.hidden = !mine;
    }
    this.choices();
    this.panel(this.host.tab).setAttribute("aria-busy", String(!this.data));
    write(this.none, this.data ? "Nothing is recorded yet." : "Reading the curves …");
    this.none.hidden = false;
    if (!this.data) { for (const chart of this.charts.values()) chart.node.hidden = true; return; }
    this.notices();
    const place = this.data.seeds.findIndex((entry) => entry.seed === this.host.seed);
    const chosen = place < 0 ? null : place;
    if (this.host.tab === "curves") this.curves(chosen);
    if (this.host.tab === "samples") this.samples.show(this.id, chosen);
    else this.samples.stop();
    if (this.host.tab === "modes") this.modes.show(this.data, chosen);
    if (this.host.tab === "events") this.events();
    if (this.host.tab === "seeds") this.table();
  }

  choices() {
    const key = this.row.seeds.join();
    if (this.seeds !== key) {
      this.seeds = key;
      this.seed.replaceChildren(el("option", { value: "" }, "all"), ...this.row.seeds.map((seed) => el("option", { value: seed }, String(seed))));
    }
    this.seed.value = this.row.seeds.includes(this.host.seed) ? String(this.host.seed) : "";
    this.seed.closest("label").hidden = this.row.seeds.length < 2;
  }

  curves(chosen) {
    const { data, row } = this;
    const diverged = Object.fromEntries(data.seeds.map((entry, lane) => [lane, entry.diverged]).filter(([, at]) => at !== null));
    this.none.hidden = Object.keys(data.curves).length > 0;
    for (const [key] of CHARTS) {
      const [chart, curve] = [this.charts.get(key), data.curves[key]];
      chart.node.hidden = !curve;
      if (!curve) continue;
      const modes = key.startsWith("modes") ? row.modes : null;
      const range = modes ? [0, 1.06 * modes] : key === "high_quality_share" ? [0, 1.03] : null;
      chart.update({ curve, seeds: row.seeds, chosen: row.seeds.length > 1 ? chosen : null, range, reference: modes, alarms: data.alarms.filter((told) => told.status === "collapsed"), diverged });
    }
  }

  events() {
    const { data } = this;
    const parts = [el("h3", {}, "What the monitor said")];
    if (data.alarms.length) {
      const line = (alarm) => el("tr", {}, el("th", { scope: "row" }, count(alarm.update)), el("td", {}, alarm.seed === null ? "all" : String(alarm.seed)), el("td", {}, alarm.status), el("td", { class: "wrap" }, alarm.sentence));
      parts.push(table("Alarms", ["Update", "Seed", "Status", "What was seen"], data.alarms.map(line)));
      if (data.told > data.alarms.length) parts.push(el("p", { class: "note" }, `The newest ${data.alarms.length} of ${count(data.told)}.`));
    } else parts.push(el("p", {}, "None. A run raises alarms when it is trained with --monitor."));
    const gone = data.seeds.filter((entry) => entry.diverged !== null);
    parts.push(el("h3", {}, "Diverged seeds"));
    parts.push(gone.length ? el("ul", {}, gone.map((entry) => el("li", {}, `Seed ${entry.seed}: its losses were not finite from update ${count(entry.diverged)} on; it is frozen and the others go on.`))) : el("p", {}, "None."));
    parts.push(el("h3", {}, "Warnings"));
    parts.push(data.warnings.length ? el("ul", {}, data.warnings.map((line) => el("li", {}, line))) : el("p", {}, "None."));
    if (data.error && this.row.status !== "finished") parts.push(el("h3", {}, "Error"), el("p", {}, data.error));
    this.panel("events").replaceChildren(...parts);
  }

  table() {
    const { data, row } = this;
    const modes = row.modes ? ` of ${count(row.modes)}` : "";
    const line = (entry) => {
      const { measures, losses } = entry;
      const state = entry.diverged !== null ? `diverged at ${count(entry.diverged)}` : row.status === "finished" ? "trained" : "so far";
      const solid = measures.modes_solid === null ? "–" : `${count(measures.modes_solid)}${modes}`;
      const hit = measures.modes_hit === null ? "–" : `${count(measures.modes_hit)}${modes}`;
      return el("tr", {}, el("th", { scope: "row" }, String(entry.seed)), el("td", { class: entry.diverged !== null ? "bad" : null }, state), [solid, hit, percent(measures.high_quality_share), number(losses.critic), number(losses.generator)].map((text) => el("td", {}, text)));
    };
    const parts = [el("p", { class: "verdict" }, this.sentence())];
    if (data.verdict) parts.push(el("p", {}, `Verdict: ${data.verdict}. ${data.evidence.join(" ")}`));
    parts.push(table("Seeds", ["Seed", "State", "Solid modes", "Modes hit", "High quality", "Critic loss", "Generator loss"], data.seeds.map(line)));
    if (data.command) parts.push(el("h3", {}, "The command of this run"), el("pre", { tabindex: "0" }, el("code", {}, data.command)));
    this.panel("seeds").replaceChildren(...parts);
  }

  // The result, or what the newest snapshot says, in one sentence.
  sentence() {
    const { data, row } = this;
    const known = data.seeds.map((entry) => entry.measures.modes_solid).filter((value) => value !== null);
    if (!known.length) return "No snapshot has been judged yet.";
    const when = row.status === "finished" ? `The result${data.samples_judged ? ` on ${count(data.samples_judged)} samples a seed` : ""}` : "The newest snapshot";
    const whole = row.modes ? `all ${count(row.modes)} modes solid in ${count(known.filter((value) => value >= row.modes).length)} of ${plural(row.n, "seed")}, ` : "";
    const gone = row.diverged ? `; ${plural(row.diverged, "seed")} diverged` : "";
    return `${when}, ${data.weights} generator: ${whole}fewest ${count(Math.min(...known))}, most ${count(Math.max(...known))}${gone}.`;
  }
}

function table(name, titles, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, el("table", { class: "compact" }, el("thead", {}, el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)))), el("tbody", {}, rows)));
}
