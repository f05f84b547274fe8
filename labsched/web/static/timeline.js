// Attempts of the last minutes, one lane for each instance, drawn on a canvas; its label says the same in words.

import { $, clock, el } from "./dom.js";

const WINDOW = 120, LANE = 28, TOP = 6, BOTTOM = 22, MOST_ROWS = 6;
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#bbbbbb"];
const bars = new Map();

export function take(message) {
  if (message.kind === "whole") bars.clear();
  for (const list of [message.attempts, message.running, message.recent])
    for (const bar of list) bars.set(`${bar.execution} ${bar.number || 1} ${bar.start}`, bar);
  for (const [key, bar] of bars) if ((bar.end || message.at) < message.at - WINDOW - 5) bars.delete(key);
  // What ran when the last message came and runs no more was ended by something that was not read.
  const running = new Set(message.running.map((bar) => bar.execution));
  for (const [key, bar] of bars) if (!bar.end && !running.has(bar.execution)) bars.delete(key);
}

export function draw(now, instances, leaders) {
  const canvas = $("#timeline canvas");
  const lanes = [...new Set([...instances.map((i) => i.name), ...[...bars.values()].map((bar) => bar.instance)])].sort();
  const width = canvas.parentElement.clientWidth, height = TOP + BOTTOM + Math.max(1, lanes.length) * LANE;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.font = "12px system-ui, sans-serif";
  const left = 12 + Math.max(24, ...lanes.map((name) => pen.measureText(short(name)).width));
  const x = (at) => left + ((at - now + WINDOW) / WINDOW) * (width - left - 8);
  const crosses = [], tasks = [...new Set([...bars.values()].map((bar) => bar.task))].sort();
  pen.textBaseline = "middle";
  lanes.forEach((name, at) => {
    const y = TOP + at * LANE;
    pen.fillStyle = ink("lane");
    pen.fillRect(left, y + 2, width - left - 8, LANE - 4);
    pen.fillStyle = ink("ink");
    pen.fillText(short(name), 0, y + LANE / 2);
  });
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left - 8, height);
  pen.clip();
  lanes.forEach((name, at) => {
    for (const [bar, row, rows] of stacked([...bars.values()].filter((bar) => bar.instance === name), now)) {
      const high = (LANE - 8) / rows, y = TOP + at * LANE + 4 + row * high, from = x(bar.start), to = Math.max(x(bar.end || now), from + 2);
      pen.fillStyle = COLOURS[tasks.indexOf(bar.task) % COLOURS.length];
      pen.fillRect(from, y, to - from, high - (rows > 1 ? 0.5 : 0));
      if (bad(bar)) crosses.push([to, y + high / 2]);
    }
  });
  pen.fillStyle = ink("bad");
  pen.font = "bold 13px system-ui, sans-serif";
  for (const [at, y] of crosses) pen.fillText("✕", at - 4, y);
  pen.strokeStyle = ink("ink");
  for (const change of leaders.filter((l) => l.kind === "LEADER_ELECTED" && l.at > now - WINDOW)) {
    const y = TOP + lanes.indexOf(change.name) * LANE;
    pen.beginPath();
    pen.moveTo(x(change.at), y + 1);
    pen.lineTo(x(change.at), y + LANE - 1);
    pen.stroke();
    pen.fillStyle = ink("ink");
    pen.fillText("♛", x(change.at) + 2, y + LANE / 2);
  }
  pen.restore();
  pen.fillStyle = ink("dim");
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  for (let s = 0; s <= WINDOW; s += 30) pen.fillText(s === 0 ? "now" : `−${s} s`, Math.min(x(now - s), width - 20), height - 9);
  pen.textAlign = "start";
  canvas.setAttribute("aria-label", words(lanes, now));
  legend(tasks);
}

// What runs at the same time lies one below the other: [bar, row, rows] for each.
function stacked(own, now) {
  const placed = [];
  let ends = [], first = 0;
  const close = () => { for (; first < placed.length; first += 1) placed[first].push(ends.length); ends = []; };
  for (const bar of own.sort((a, b) => a.start - b.start)) {
    if (ends.every((end) => end <= bar.start)) close();
    let row = ends.findIndex((end) => end <= bar.start);
    if (row < 0) row = ends.length < MOST_ROWS ? ends.length : ends.indexOf(Math.min(...ends));
    ends[row] = Math.max(ends[row] || 0, bar.end || now);
    placed.push([bar, row]);
  }
  close();
  return placed;
}

const bad = (bar) => ["FAILED", "DEAD", "LOST"].includes(bar.outcome);
const short = (name) => (name.length > 15 ? `${name.slice(0, 14)}…` : name);

function legend(tasks) {
  const list = $("#colours"), named = tasks.slice(0, COLOURS.length);
  const shown = [...named, tasks.length > named.length ? `and ${tasks.length - named.length} more` : ""].join("\n");
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...named.map((name, at) => {
    const swatch = el("i");
    swatch.style.background = COLOURS[at];
    return el("li", {}, swatch, name);
  }));
  if (tasks.length > named.length) list.append(el("li", { textContent: `and ${tasks.length - named.length} more, in the same colours` }));
}

function words(lanes, now) {
  const parts = lanes.map((name) => {
    const own = [...bars.values()].filter((bar) => bar.instance === name);
    const failed = own.filter(bad).length;
    return `${name}: ${own.length} attempts${failed ? `, ${failed} of them failed or lost` : ""}`;
  });
  return `Attempts of the last ${WINDOW} seconds up to ${clock(now)} UTC. ${parts.join("; ")}`;
}
