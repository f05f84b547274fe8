// Attempts of the last minutes, one lane for each instance, drawn on a canvas; its label says the same in words.

import { $, clock, el } from "./dom.js";

const WINDOW = 120, LANE = 26, LEFT = 110, TOP = 6, BOTTOM = 22;
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
  const x = (at) => LEFT + ((at - now + WINDOW) / WINDOW) * (width - LEFT - 8);
  const tasks = [...new Set([...bars.values()].map((bar) => bar.task))].sort();
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  lanes.forEach((name, at) => {
    const y = TOP + at * LANE;
    pen.fillStyle = ink("lane");
    pen.fillRect(LEFT, y + 2, width - LEFT - 8, LANE - 4);
    pen.fillStyle = ink("ink");
    pen.fillText(name.length > 15 ? `${name.slice(0, 14)}…` : name, 0, y + LANE / 2);
  });
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, width - LEFT - 8, height);
  pen.clip();
  for (const bar of bars.values()) {
    const y = TOP + lanes.indexOf(bar.instance) * LANE, from = x(bar.start), to = Math.max(x(bar.end || now), from + 2);
    const bad = ["FAILED", "DEAD", "LOST"].includes(bar.outcome);
    pen.fillStyle = COLOURS[tasks.indexOf(bar.task) % COLOURS.length];
    pen.fillRect(from, y + 5, to - from, LANE - 10);
    if (bad) {
      pen.fillStyle = ink("bad");
      pen.font = "bold 13px system-ui, sans-serif";
      pen.fillText("✕", to - 4, y + LANE / 2);
    }
  }
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
    const bad = own.filter((bar) => ["FAILED", "DEAD", "LOST"].includes(bar.outcome)).length;
    return `${name}: ${own.length} attempts${bad ? `, ${bad} of them failed or lost` : ""}`;
  });
  return `Attempts of the last ${WINDOW} seconds up to ${clock(now)} UTC. ${parts.join("; ")}`;
}
