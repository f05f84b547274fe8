// The page: takes messages, keeps the newest of everything, and fills the tables at most once a second.

import { $, about, buttons, cells, clock, el, rows, run, span } from "./dom.js";
import { act, ask, token } from "./actions.js";
import { follow } from "./stream.js";
import * as charts from "./charts.js";
import * as timeline from "./timeline.js";

const MOST_ROWS = 200;
const state = { tasks: {}, message: null };

const LINK = { live: "live", lost: "connection lost, trying again …", locked: "reading needs the token here" };

function take(message) {
  if (message.kind === "whole") state.tasks = {};
  Object.assign(state.tasks, message.tasks);
  // A part leaves out the lists that are as they were.
  state.message = message.kind === "whole" ? message : { ...state.message, ...message };
  charts.take(message);
  timeline.take(state.message);
  draw();
}

function draw() {
  const m = state.message;
  if (!m) return;
  alarm(m);
  if (!m.instances) return;
  const leader = m.instances.find((instance) => instance.leader);
  $("#summary").textContent = `${clock(m.at)} UTC · ${leader ? `${leader.name} leads` : "nobody leads"} · `
    + `${m.states.RUNNING} running · ${m.states.READY + m.states.RETRYING + m.states.BUFFERED} waiting`;
  $("#namespace").textContent = m.namespace || "";
  instances(m);
  guarantees(m);
  tasks(m);
  running(m);
  recent(m);
  locks(m);
  events(m);
  timeline.draw(m.at, m.instances, m.leaders);
  charts.draw(m.at);
}

function alarm(m) {
  const violated = (m.guarantees || []).filter((g) => g.violated).map((g) => `${g.guarantee} is violated: ${g.sentence} (seen at ${clock(g.at)} UTC)`);
  const lines = m.trouble ? [m.trouble, ...violated] : violated;
  const box = $("#alarm"), words = lines.join("\n");
  if (box.dataset.words !== words) box.replaceChildren(...lines.map((line) => el("p", { textContent: line })));
  box.dataset.words = words;
  box.hidden = !words;
}

function instances(m) {
  rows($("#instances tbody"), m.instances, (i) => i.name, (row, i) => {
    cells(row, [
      [i.name, "name", "", about("executions", `instance=${i.name}`)], [i.state.toLowerCase(), i.state === "ACTIVE" ? "good" : "bad"],
      [i.leader ? `♛ leader, epoch #${m.counts.ELECTED || 1}` : "", "info", i.leader ? `epoch ${i.epoch}` : ""],
      [`${i.running} of ${i.pool_size}`, "n"], [i.lease_left > 0 ? span(i.lease_left) : "over", "n"],
      [`${span(m.at - i.heartbeat / 1000)} ago`, "n"], [span(m.at - i.joined / 1000), "n"], [`${i.hostname} ${i.pid}`, "dim"],
    ]);
    buttons(row, 8, i.state !== "ACTIVE" ? [] : [["Drain", `Drain ${i.name}`, () => act(path("instances", i.name, "drain"), () => `${i.name} finishes what it runs, then leaves`)]]);
  });
}

function guarantees(m) {
  const list = $("#guarantees");
  const wanted = m.guarantees || [];
  while (list.children.length > wanted.length) list.lastChild.remove();
  wanted.forEach((g, at) => {
    const item = list.children[at] || list.appendChild(el("li"));
    item.dataset.light = g.violated ? "red" : g.tested ? "green" : "grey";
    const words = g.violated ? `${g.guarantee}: violated` : g.tested ? `${g.guarantee}: held ${g.tested} ${g.tested === 1 ? "time" : "times"}` : `${g.guarantee}: not exercised`;
    if (item.textContent !== words) item.textContent = words;
    item.title = g.sentence || "";
  });
  const violated = wanted.filter((g) => g.violated).length, held = wanted.filter((g) => g.tested && !g.violated).length;
  $("#judged").textContent = `${violated ? `${violated} violated, ` : ""}${held} held, ${wanted.length - held - violated} not exercised · ${m.judged}`;
}

function tasks(m) {
  const find = $("#find").value.trim().toLowerCase();
  const all = Object.values(state.tasks).filter((t) => t.metrics.name.toLowerCase().includes(find))
    .sort((a, b) => (a.metrics.name < b.metrics.name ? -1 : 1));
  $("#shown").textContent = all.length > MOST_ROWS ? `the first ${MOST_ROWS} of ${all.length}` : `${all.length} ${all.length === 1 ? "task" : "tasks"}`;
  rows($("#tasks tbody"), all.slice(0, MOST_ROWS), (t) => t.metrics.name, (row, t) => {
    const k = t.metrics, due = m.due[k.name], active = k.status === "ACTIVE";
    cells(row, [
      [k.name, "name", "", about("tasks", k.name)], [k.status.toLowerCase(), active ? "good" : "bad"], [t.schedule, "dim"],
      [due && active ? (due / 1000 > m.at ? `in ${span(due / 1000 - m.at)}` : "now") : ""],
      [t.last.toLowerCase(), t.last === "SUCCEEDED" ? "good" : t.last === "FAILED" || t.last === "DEAD" ? "bad" : ""],
      [`${k.running}`, "n"], [`${k.backlog}`, "n"], [`${k.succeeded}`, "n"], [`${k.failed}`, k.failed ? "n bad" : "n"],
      [k.success_rate === null ? "" : `${(k.success_rate * 100).toFixed(1)} %`, "n"], [span(k.duration.mean), "n"], [k.duration.p99 === null ? "" : `~${span(k.duration.p99)}`, "n"],
    ]);
    buttons(row, 12, [
      ["Trigger", `Trigger ${k.name}`, () => act(path("tasks", k.name, "trigger"), (id) => `${id} was made`)],
      active
        ? ["Pause", `Pause ${k.name}`, () => act(path("tasks", k.name, "pause"), () => `${k.name} is paused`)]
        : ["Resume", `Resume ${k.name}`, () => act(path("tasks", k.name, "resume"), () => `${k.name} goes on`)],
    ]);
  });
}

function running(m) {
  const sorted = [...m.running].sort((a, b) => a.start - b.start).slice(0, MOST_ROWS);
  rows($("#running tbody"), sorted, (a) => a.execution, (row, a) => {
    cells(row, [[run(a.execution), "name", a.execution, about("execution", a.execution)], [a.instance], [`${a.number || 1}`, "n"], [span(m.at - a.start), "n"]]);
    const cell = row.cells[4] || row.insertCell();
    const done = (m.progress || {})[a.execution];
    if (done && done[1] > 0) {
      const bar = cell.firstChild || cell.appendChild(el("progress"));
      bar.max = done[1];
      bar.value = done[0];
      bar.setAttribute("aria-label", `${done[0]} of ${done[1]}`);
    }
    buttons(row, 5, [["Cancel", `Cancel ${a.execution}`, () => act(path("executions", a.execution, "cancel"), (said) => `${a.execution}: ${said}`)]]);
  });
}

function recent(m) {
  rows($("#recent tbody"), m.recent, (a) => `${a.execution} ${a.number || 1} ${a.end}`, (row, a) => {
    const good = a.outcome === "SUCCEEDED", bad = ["FAILED", "DEAD", "LOST"].includes(a.outcome);
    cells(row, [[run(a.execution), "name", a.execution, about("execution", a.execution)], [a.outcome.toLowerCase(), good ? "good" : bad ? "bad" : ""], [a.instance], [span(a.end - a.start), "n"], [span(m.at - a.end), "n"]]);
    const again = ["FAILED", "DEAD"].includes(a.outcome);
    buttons(row, 5, again ? [["Requeue", `Requeue ${a.execution}`, () => act(path("executions", a.execution, "requeue"), () => `${a.execution} gets another life`)]] : []);
  });
}

function locks(m) {
  rows($("#locks tbody"), m.locks, (l) => l.name, (row, l) => {
    cells(row, [[run(l.name), "name", l.name], [l.owner], [`${l.token}`, "n"], [span(l.until - m.at), "n"]]);
  });
}

const TONE = { SUCCEEDED: "good", FAILED: "bad", DEAD: "bad", LOST: "bad", REFUSED: "bad", INSTANCE_LOST: "bad", LEADER_ELECTED: "info" };

function events(m) {
  const list = $("#events"), few = $("#notable").checked, wanted = few ? m.notable : m.events;
  const shown = `${few} ${wanted.length ? wanted.at(-1).id : ""}`;
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...[...wanted].reverse().map((e) => el("li", {},
    `${clock(e.at)}  `, el("span", { className: TONE[e.kind] || "", textContent: e.kind.padEnd(17) }),
    [(e.instance || "").padEnd(4), e.about && run(e.about), e.said].filter(Boolean).join(" "))));
}

const path = (what, name, verb) => `/api/${what}/${encodeURIComponent(name)}/${verb}`;

$("#find").addEventListener("input", draw);
$("#notable").addEventListener("change", draw);
$("#sign-in").addEventListener("click", ask);
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
follow(token, take, (how) => { $("#link").textContent = LINK[how]; document.body.dataset.link = how; });
