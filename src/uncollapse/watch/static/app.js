// The page: takes the stream of changes, keeps the rows, and tells the table and the selected run what is new.

import { count, duration, el, number, percent, plural, write } from "./build.js";
import { Detail, TABS } from "./detail.js";
import { Runs } from "./runs.js";

const rows = new Map();
const host = { tab: "curves", seed: null, chosen: null, setTab, setSeed };
const runs = new Runs(choose);
const detail = new Detail(host);
let source = null;
let again = null;

function remember() {
  const parts = new URLSearchParams({ run: host.chosen ?? "", tab: host.tab });
  if (host.seed !== null) parts.set("seed", host.seed);
  history.replaceState(null, "", `#${parts}`);
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (rows.has(parts.get("run"))) host.chosen = parts.get("run");
  if (parts.get("tab") in TABS) host.tab = parts.get("tab");
  host.seed = /^\d+$/.test(parts.get("seed") ?? "") ? Number(parts.get("seed")) : null;
}

function setTab(tab) {
  host.tab = tab;
  remember();
  detail.body();
}

function setSeed(seed) {
  host.seed = seed;
  remember();
  detail.body();
}

function choose(id) {
  host.chosen = id;
  remember();
  runs.update(rows, id);
  detail.follow(rows.get(id));
}

// The first run at work, else the first with something in it.
function first() {
  const all = [...rows.values()];
  return (all.find((row) => ["training", "judging"].includes(row.status)) ?? all.find((row) => row.update > 0) ?? all[0])?.id ?? null;
}

function summary(state) {
  const all = [...rows.values()];
  const having = (...wanted) => all.filter((row) => wanted.includes(row.status)).length;
  const parts = [];
  if (all.length > 1) parts.push(`${count(having("finished"))} of ${plural(all.length, "run")} finished`);
  if (having("training", "judging") && all.length > 1) parts.push(`${count(having("training", "judging"))} at work`);
  if (state.left !== null && all.length > 1) parts.push(`about ${duration(state.left)} left`);
  if (having("stalled")) parts.push(`${count(having("stalled"))} stalled`);
  if (having("failed")) parts.push(`${count(having("failed"))} failed`);
  const sum = (key) => all.reduce((total, row) => total + row[key], 0);
  if (sum("diverged")) parts.push(`${plural(sum("diverged"), "seed")} diverged`);
  if (sum("alarms")) parts.push(plural(sum("alarms"), "alarm"));
  const behind = all.filter((row) => row.behind).length;
  if (behind) parts.push(`reading the histories of ${plural(behind, "run")}`);
  return parts.join(" · ");
}

function apply(state) {
  for (const row of state.rows) rows.set(row.id, row);
  write(document.getElementById("title"), state.title);
  document.body.classList.toggle("single", rows.size === 1);
  const about = document.getElementById("about");
  about.hidden = !state.description;
  write(about, state.description);
  write(document.getElementById("summary"), summary(state));
  if (state.results !== null) results(state.results);
  // While the directory cannot be read, what is shown is old, although the connection stands.
  if (state.trouble) link("lost", state.trouble);
  else if (source?.readyState === EventSource.OPEN) link("live", "Live");
  if (!rows.has(host.chosen)) host.chosen = first();
  runs.update(rows, host.chosen);
  document.getElementById("detail").hidden = host.chosen === null;
  if (host.chosen !== null) detail.follow(rows.get(host.chosen));
}

function interval(triple, show) {
  if (!triple) return [el("span", { class: "none" }, "–")];
  const [value, low, high] = triple;
  return [el("b", {}, show(value)), low === null || high === null ? null : el("small", {}, `${show(low)} to ${show(high)}`)];
}

const HEADLINES = { modes_solid: "Solid modes", modes_hit: "Modes hit", high_quality_share: "High-quality share", tutorial_coverage: "Lenient coverage" };

function results(found) {
  const some = found.cells.some((cell) => cell.n || cell.failed.length);
  document.getElementById("results").hidden = !some;
  if (!some) return;
  const columns = [
    ["Method", (cell) => cell.method],
    ["Task", (cell) => cell.task],
    ["Seeds", (cell) => count(cell.n)],
    ["All modes solid", (cell) => interval(cell.success, percent)],
    [HEADLINES[found.headline] ?? found.headline, (cell) => interval(cell.headline, number)],
    ["High quality", (cell) => interval(cell.quality, percent)],
    ["Diverged", (cell) => (cell.diverged ? count(cell.diverged) : "")],
    ["Not finished then", (cell) => (cell.unfinished ? count(cell.unfinished) : "")],
    ["Failed", (cell) => cell.failed.join("; ")],
  ].filter(([, show]) => found.cells.some((cell) => show(cell) !== ""));
  const line = (cell) => el("tr", {}, columns.map(([, show], place) => (place ? el("td", { class: "wrap-long" }, show(cell)) : el("th", { scope: "row" }, show(cell)))));
  const titles = columns.map(([title]) => title);
  const state = found.status === "finished" ? "All runs are finished" : "So far, from the runs that had finished when the comparison last stopped";
  const report = found.report ? " The whole report is report.html in the same folder." : "";
  document.getElementById("results-body").replaceChildren(
    el("p", { class: "note" }, `${state}; means over seeds with their intervals.${report}`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results" }, el("table", {}, el("thead", {}, el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)))), el("tbody", {}, found.cells.map(line)))));
}

function link(state, text) {
  const node = document.getElementById("link");
  node.className = `link ${state}`;
  write(node, text);
}

function connect() {
  if (source || document.hidden) return;
  clearTimeout(again);
  source = new EventSource("/events");
  source.addEventListener("open", () => link("live", "Live"));
  source.addEventListener("state", (event) => apply(JSON.parse(event.data)));
  source.addEventListener("error", lost);
}

// A browser tries again by itself unless the answer was an error; why that was is asked once.
async function lost() {
  link("lost", "No connection, trying again");
  if (source?.readyState !== EventSource.CLOSED) return;
  disconnect();
  const answer = await fetch("/static/icon.svg", { cache: "no-store" }).catch(() => null);
  if (answer?.status === 401) link("lost", "The server was started anew: open the address that it printed");
  again = setTimeout(connect, 3000);
}

function disconnect() {
  source?.close();
  source = null;
}

// A hidden page needs no connection; browsers allow six to one server.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) disconnect();
  else connect();
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
addEventListener("hashchange", () => { recall(); if (host.chosen !== null) { choose(host.chosen); detail.body(); } });

const state = JSON.parse(document.getElementById("state").textContent);
for (const row of state.rows) rows.set(row.id, row);
recall();
apply(state);
connect();
