// Two charts by uPlot (shipped beside this file, MIT): runs per second, and the worst lateness of each second.

/* global uPlot */
import { $, clock } from "./dom.js";

const SECONDS = 300;
const kept = new Map();
const made = {};

export function take(message) {
  if (message.kind === "whole") kept.clear();
  for (const second of message.seconds) kept.set(second.at, second);
  for (const at of kept.keys()) if (at < message.at - SECONDS) kept.delete(at);
}

export function draw(now) {
  const end = Math.floor(now), times = [];
  for (let at = end - 120; at < end; at += 1) times.push(at);
  const column = (name) => times.map((at) => (kept.get(at) || {})[name] || 0);
  show("rate", "Runs per second", 1, [times, column("succeeded"), column("failed"), column("lost")], [
    { label: "succeeded", stroke: "--good", width: 2 },
    { label: "failed", stroke: "--bad", width: 2, dash: [6, 3] },
    { label: "lost", stroke: "--dim", width: 2, dash: [2, 3] },
  ], (v) => `${v}/s`);
  show("late", "Worst lateness", 0.01, [times, column("late")], [{ label: "worst lateness", stroke: "--info", width: 2 }],
    (v) => (v < 1 ? `${Math.round(v * 1000)} ms` : `${v.toFixed(1)} s`));
}

function show(id, title, least, data, series, words) {
  const box = $(`#${id}`), width = Math.max(200, box.clientWidth);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (made[id] && made[id].dark !== dark) { made[id].plot.destroy(); delete made[id]; }
  if (!made[id]) {
    const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: ink("--dim"), grid: { stroke: ink("--line"), width: 1 }, ticks: { show: false } };
    const plot = new uPlot({
      width, height: 140, padding: [null, 24, null, null], cursor: { drag: { x: false, y: false } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, least)] } },
      axes: [{ ...axis, space: 90, size: 30, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((v) => words(+v.toFixed(4))) }],
      series: [{ label: "time (UTC)", value: (_, at) => (at === null ? "" : clock(at)) }, ...series.map((s) => ({ ...s, stroke: ink(s.stroke), value: (_, v) => (v === null ? "" : words(v)) }))],
    }, data, box);
    made[id] = { plot, dark };
  }
  const { plot } = made[id], last = data[0].length - 1;
  plot.setSize({ width, height: 140 });
  plot.setData(data);
  if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: last });  // nobody points: the newest
  const said = series.map((s, at) => `${s.label} ${words(data[at + 1][last])}, at most ${words(Math.max(...data[at + 1]))}`);
  box.setAttribute("aria-label", `${title}, at ${clock(data[0][last])} UTC and at most in the last two minutes: ${said.join("; ")}`);
}
