// The live panel in the browser: draws what the session tells, sends what is pressed. No state of its own but the view's.

const WINDOW = 60; // seconds that the timeline shows
const PACES = [0.25, 0.5, 1, 2, 5, 10, 20];
const LANE = 30, STRIP = 22, AXIS = 20, LEFT = 64, MARK = 9; // pixels
// Okabe and Ito's colours, which people with any common colour blindness tell apart; vermilion is kept for trouble.
const COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#999999"];
const TROUBLE = "#D55E00";
const SIGNS = { SUCCEEDED: "", FAILED: "!", DEAD: "!", RETRYING: "!", LOST: "?", CANCELLED: "–", READY: "«", RUNNING: "" };
const STRETCHES = { kill: 0, pause: 2, partition: 3 }; // the hatch of a lane while that fault lasts
const FAULTS = { kill: "✕", restart: "▲", pause: "‖", resume: "▸", partition: "≠", heal: "=", drain: "▼",
  restart_server: "▲", failover: "⇄", slow: "∿", out_of_memory: "▣", read_only: "⊘" };
const KEY = { restart_server: "Restart server", failover: "Fail over", out_of_memory: "Full", read_only: "Read-only", slow: "Slow" };
const VERBS = {
  kill: ["Kill", "SIGKILL: no clean-up runs"], restart: ["Restart", "a new process under that name"],
  pause: ["Pause", "SIGSTOP: it runs no code and does not know"], resume: ["Resume", "SIGCONT: it goes on where it was"],
  partition: ["Cut off", "nothing gets through between it and the server"], heal: ["Heal", "mend its link"],
};

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Changes only what differs: a button that is replaced under the finger would lose its press.
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
function able(node, yes, why) {
  node.disabled = !yes;
  if (why) node.title = why;
}
const seconds = (t) => (t ?? 0).toFixed(2) + " s";

// --- the bar ------------------------------------------------------------------------------------------

function bar(send) {
  const play = make("button", { class: "ls-play", onclick: () => send({ do: play.dataset.do }) });
  const to = (what, label, title) => make("button", { title, onclick: () => send({ do: "run_to", what }) }, label);
  const jumps = [
    to("event", "Step", "run to the next event"),
    to("leader", "Leader change", "run to the next leader change"),
    to("lock", "Lock", "run to the next lock event"),
    to("violation", "Violation", "run to the next violation, ten minutes at most"),
  ];
  const pace = make("select", { "aria-label": "pace", onchange: () => send({ do: "pace", pace: Number(pace.value) }) },
    ...PACES.map((p) => make("option", { value: p }, `${p}×`)));
  const time = make("span", { class: "ls-time" });
  const end = make("button", { class: "ls-end", title: "end this panel and what it started", onclick: () => send({ do: "close" }) }, "End");
  const why = make("span", { class: "ls-why" });
  const node = make("div", { class: "ls-bar" }, play, jumps[0], make("label", {}, "pace ", pace),
    make("span", { class: "ls-jumps" }, "run to ", ...jumps.slice(1)), time, end, why);
  const update = (s) => {
    const off = s.off ?? {};
    put(play, s.playing ? "❚❚ Pause time" : "▶ Play");
    play.dataset.do = s.playing ? "pause" : "play";
    able(play, !off.play && !s.closed, off.play);
    for (const jump of jumps) able(jump, !off.run_to && !s.closed, off.run_to);
    able(pace, !off.pace && !s.closed, off.pace);
    able(end, !s.closed);
    if (document.activeElement !== pace) {
      if (!PACES.includes(s.pace) && ![...pace.options].some((o) => Number(o.value) === s.pace))
        pace.append(make("option", { value: s.pace }, `${s.pace}×`));
      pace.value = String(s.pace);
    }
    put(time, seconds(s.time) + (s.branch ? `  branch ${s.branch}` : ""));
    put(why, off.play ?? "");
  };
  return { node, update };
}

// --- the rows -----------------------------------------------------------------------------------------

function row(name, send) {
  const cells = Object.fromEntries(["who", "state", "lead", "runs", "lease", "clock"].map((c) => [c, make("td")]));
  const press = (verb) => send({ do: "press", verb, target: name });
  const buttons = ["kill", "pause", "partition", "restart"].map((verb) => make("button", { onclick: () => press(button(verb).dataset.verb) }));
  const button = (verb) => buttons[["kill", "pause", "partition", "restart"].indexOf(verb)];
  const meter = make("span", { class: "ls-meter" }, make("i"));
  const left = make("span");
  cells.lease.className = "ls-lease";
  cells.lease.append(meter, left);
  put(cells.who, name);
  const keys = { k: "kill", p: "pause", r: "restart" };
  const node = make("tr", {
    tabindex: 0, "data-instance": name, "aria-keyshortcuts": "k p r",
    onkeydown: (event) => {
      const verb = keys[event.key.toLowerCase()];
      if (!verb || event.ctrlKey || event.metaKey || event.altKey || button(verb).disabled) return;
      event.preventDefault();
      press(button(verb).dataset.verb);
    },
  }, ...Object.values(cells), make("td", { class: "ls-verbs" }, ...buttons));
  const show = (verb, now, yes, why) => {
    const one = button(verb);
    one.dataset.verb = now;
    put(one, VERBS[now][0]);
    one.setAttribute("aria-label", `${VERBS[now][0]} ${name}`);
    able(one, yes, yes ? VERBS[now][1] : why);
  };
  const update = (r, closed) => {
    put(cells.state, r.state);
    node.dataset.process = r.cut ? "cut" : r.process;
    put(cells.lead, r.leader ? `♛ leader #${r.epoch}` : "");
    node.classList.toggle("ls-leads", r.leader);
    put(cells.runs, r.running.length ? `${r.running.length} of ${r.pool}: ${r.running.join(", ")}` : `0 of ${r.pool}`);
    meter.firstChild.style.width = `${100 * Math.min((r.lease ?? 0) / r.lease_of, 1)}%`;
    put(left, r.lease === null ? "none" : `${r.lease.toFixed(1)} s`);
    put(cells.clock, r.offset === null ? "shared" : `${r.offset > 0 ? "+" : ""}${r.offset.toFixed(1)} s`);
    const gone = "it has no process: restart it";
    show("kill", "kill", r.alive && !closed, closed ? "closed" : gone);
    show("pause", r.process === "paused" ? "resume" : "pause", r.alive && !closed, closed ? "closed" : gone);
    show("partition", r.cut ? "heal" : "partition", !closed, "closed");
    show("restart", "restart", !closed, "closed");
  };
  return { node, update };
}

// A server: the four buttons that an instance has as well stand below theirs, with the same keys.
function serverRow(name, send, acts) {
  const buttons = new Map();
  const add = (place) => {
    const button = make("button", { onclick: () => send({ do: "press", act: button.dataset.act, target: name }) });
    buttons.set(place, button);
    return button;
  };
  const state = make("span"), note = make("small");
  const more = make("td", { colspan: 3, class: "ls-more" }, ...["empty", "failover", "slow", "fill", "read_only"].map(add));
  const usual = make("td", { class: "ls-verbs" }, ...["kill", "pause", "partition", "restart"].map(add));
  const keys = { k: "kill", p: "pause", r: "restart" };
  const node = make("tr", {
    tabindex: 0, "data-server": name, "aria-keyshortcuts": "k p r",
    onkeydown: (event) => {
      const place = keys[event.key.toLowerCase()];
      if (!place || event.ctrlKey || event.metaKey || event.altKey || buttons.get(place).disabled) return;
      event.preventDefault();
      buttons.get(place).click();
    },
  }, make("td", {}, name), make("td", { colspan: 2 }, state, " ", note), more, usual);
  const update = (r, closed) => {
    put(state, r.state);
    put(note, r.note);
    node.dataset.process = r.trouble ? "trouble" : "up";
    for (const [place, button] of buttons) {
      const act = place === "pause" && r.process === "paused" ? "resume" : place === "partition" && r.heals ? "heal" : place;
      const [label, title] = acts[act], why = closed ? "closed" : r.off[act];
      button.dataset.act = act;
      put(button, label);
      button.setAttribute("aria-label", `${label} ${name}`);
      able(button, !why, why ?? title);
    }
  };
  return { node, update };
}

function table(send, acts) {
  const body = make("tbody"), servers = make("tbody", { class: "ls-servers" }), rows = new Map();
  const head = ["instance", "state", "leads", "runs", "lease left", "clock", "do"].map((h) => make("th", { scope: "col" }, h));
  const hint = "k kills, p pauses or resumes, r restarts the row in focus";
  const node = make("table", { title: hint }, make("thead", {}, make("tr", {}, ...head)), body, servers);
  const update = (s) => {
    for (const r of s.rows ?? []) {
      if (!rows.has(r.name)) { rows.set(r.name, row(r.name, send)); body.append(rows.get(r.name).node); }
      rows.get(r.name).update(r, s.closed);
    }
    for (const r of s.servers ?? []) {
      const key = `server ${r.name}`;
      if (!rows.has(key)) { rows.set(key, serverRow(r.name, send, acts)); servers.append(rows.get(key).node); }
      rows.get(key).update(r, s.closed);
    }
  };
  return { node, update };
}

// --- the lamps ----------------------------------------------------------------------------------------

function lamps(send) {
  const node = make("ul", { class: "ls-lamps", "aria-label": "guarantees" }), items = new Map();
  const picture = make("figure", { class: "ls-picture" });
  const SIGN = { grey: "○", green: "✓", red: "✕" };
  const update = (s) => {
    for (const lamp of s.lamps ?? []) {
      if (!items.has(lamp.id)) {
        const item = make("li", {}, make("b"), make("span"), make("button", { onclick: () => send({ do: "picture", guarantee: lamp.id }) }, "Show it"));
        items.set(lamp.id, item);
        node.append(item);
      }
      const item = items.get(lamp.id), [name, text, show] = item.children;
      item.dataset.light = lamp.light;
      put(name, `${SIGN[lamp.light]} ${lamp.id}`);
      put(text, lamp.text);
      show.hidden = lamp.light !== "red";
    }
  };
  const draw = (message, bytes) => {
    const image = make("img", { alt: message.alt, src: URL.createObjectURL(new Blob([bytes], { type: "image/png" })) });
    picture.replaceChildren(make("figcaption", {}, `${message.guarantee}, the moment of its violation`), image);
    picture.scrollIntoView({ block: "nearest" });
  };
  return { node, picture, update, draw };
}

// --- the timeline -------------------------------------------------------------------------------------

// Events into bars: an attempt from its RUNNING to its end, a reign from an election to the next word on it.
function story() {
  let attempts, reigns, faults, open, tasks = [];
  const end = (key, t, outcome) => {
    const bar = open.get(key);
    if (bar) { bar.end = t; bar.outcome = outcome; open.delete(key); }
  };
  const clear = () => { attempts = []; reigns = []; faults = []; open = new Map(); };
  const take = ([t, kind, instance, execution, task, number, lost]) => {
    const reign = reigns.at(-1);
    if (kind === "FAULT") {
      faults.push({ t, instance, kind: task, down: number });
      // What the server has forgotten, it tells no end of.
      for (const [name, bar] of open) if (lost != null && bar.start >= lost) end(name, t, "LOST");
      if (lost != null && reign && reign.end === null && reign.start >= lost) reign.end = t;
    }
    else if (kind === "RUNNING") {
      end(execution, t, "LOST");
      const bar = { start: t, end: null, instance, task, number, outcome: "RUNNING" };
      attempts.push(bar);
      open.set(execution, bar);
      if (!tasks.includes(task)) tasks = [...tasks, task].sort();
    } else if (kind === "LEADER_ELECTED") {
      if (reign && reign.end === null) reign.end = t;
      reigns.push({ start: t, end: null, instance, number });
    } else if (["LEADER_RESIGNED", "INSTANCE_LEFT", "INSTANCE_LOST"].includes(kind)) {
      if (reign && reign.end === null && reign.instance === instance) reign.end = t;
    } else if (execution) end(execution, t, kind);
  };
  const forget = (before) => {
    attempts = attempts.filter((b) => b.end === null || b.end > before);
    reigns = reigns.filter((b) => b.end === null || b.end > before);
  };
  clear();
  return { clear, take, forget, get attempts() { return attempts; }, get reigns() { return reigns; }, get faults() { return faults; }, get tasks() { return tasks; } };
}

// A pattern on top of a colour, so that nobody needs the colour: as many kinds as colours.
function patterned(context, x, y, w, h, n, ink) {
  context.fillStyle = COLOURS[n % COLOURS.length];
  context.fillRect(x, y, w, h);
  if (w > 4) hatch(context, x, y, w, h, n % 5, ink);
}
function hatch(context, x, y, w, h, kind, ink) {
  context.save();
  context.beginPath();
  context.rect(x, y, w, h);
  context.clip();
  context.strokeStyle = ink;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = -h; kind && at < w + h; at += 7) {
    if (kind === 1 || kind === 3) { context.moveTo(x + at, y + h); context.lineTo(x + at + h, y); }
    if (kind === 2 || kind === 3) { context.moveTo(x + at, y); context.lineTo(x + at + h, y + h); }
    if (kind === 4) { context.moveTo(x + at, y); context.lineTo(x + at, y + h); }
  }
  context.stroke();
  context.restore();
}

// What an instance's lane is like between two faults: absent, paused or cut off.
function stretches(faults, instance, from, to) {
  const found = [], open = {};
  const close = (kind, t) => { if (kind in open) { found.push({ kind, start: open[kind], end: t }); delete open[kind]; } };
  for (const f of faults) {
    if (f.instance !== instance && f.instance !== "all") continue;
    if (f.kind === "kill") { close("pause", f.t); open.kill ??= f.t; }
    if (f.kind === "pause") open.pause ??= f.t;
    if (f.kind === "partition") open.partition ??= f.t;
    if (f.kind === "restart_server" || f.kind === "failover") {
      open.kill ??= f.t;
      close("pause", f.t);
      close("kill", Math.min(f.t + f.down, to));
    }
    if (f.kind === "restart") { close("kill", f.t); close("pause", f.t); }
    if (f.kind === "resume") close("pause", f.t);
    if (f.kind === "heal") close("partition", f.t);
  }
  for (const kind of Object.keys(open)) close(kind, to);
  return found.filter((s) => s.end > from);
}

function timeline() {
  const canvas = make("canvas", { role: "img", "aria-label": "timeline of the last 60 seconds" });
  const key = make("div", { class: "ls-key" });
  const told = story();
  let state = {}, received = 0, drawn = "";
  const look = (name) => getComputedStyle(canvas).getPropertyValue(name).trim();
  const stretch = (context, x, y, w, h, kind) => {
    context.fillStyle = look(`--ls-${kind}`);
    context.fillRect(x, y, w, h);
    hatch(context, x, y, w, h, STRETCHES[kind], look("--ls-ink"));
  };
  const clock = () => {
    const since = Math.min((performance.now() - received) / 1000, 0.4); // smooth between two tells
    return (state.clock ?? 0) + (state.playing && !state.closed ? since * (state.pace ?? 1) : 0);
  };
  function draw() {
    const names = (state.rows ?? []).map((r) => r.name), servers = (state.servers ?? []).map((r) => r.name), width = canvas.parentElement?.clientWidth ?? 0;
    if (!width || !names.length) return;
    const height = STRIP + LANE * names.length + STRIP * servers.length + AXIS, ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    }
    const now = clock(), to = Math.max(now, WINDOW), from = to - WINDOW;
    const context = canvas.getContext("2d"), x = (t) => LEFT + (Math.max(t, from) - from) / WINDOW * (width - LEFT - 6);
    const ink = look("--ls-ink"), dim = look("--ls-dim"), ground = look("--ls-lane"), trouble = look("--ls-trouble");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const text = (words, at, y, colour = ink, align = "left") => { context.fillStyle = colour; context.textAlign = align; context.fillText(words, at, y); };
    for (let t = Math.ceil(from / 10) * 10; t <= to; t += 10) {
      context.fillStyle = look("--ls-grid");
      context.fillRect(x(t), 0, 1, height - AXIS);
      text(`${t} s`, Math.min(Math.max(x(t), LEFT + 10), width - 18), height - AXIS / 2, dim, "center");
    }
    text("leader", 4, STRIP / 2, dim);
    for (const reign of told.reigns) {
      const a = x(reign.start), b = x(reign.end ?? now);
      if (b <= LEFT) continue;
      context.fillStyle = look("--ls-reign");
      context.fillRect(a, 3, Math.max(b - a, 2), STRIP - 6);
      for (const s of stretches(told.faults, reign.instance, reign.start, reign.end ?? now)) { // leads on paper only
        const c = Math.max(x(s.start), a), d = Math.min(x(s.end), b);
        context.fillStyle = dim;
        if (d > c) context.fillRect(c, 3, d - c, STRIP - 6), hatch(context, c, 3, d - c, STRIP - 6, 1, look("--ls-ground"));
      }
      if (b - a > 44) text(`♛ ${reign.instance} #${reign.number}`, a + 5, STRIP / 2, look("--ls-on-reign"));
    }
    names.forEach((name, n) => {
      const y = STRIP + LANE * n;
      context.fillStyle = ground;
      context.fillRect(LEFT, y + 2, Math.max(x(now) - LEFT, 0), LANE - 4);
      for (const s of stretches(told.faults, name, from, now)) {
        stretch(context, x(s.start), y + 2, x(s.end) - x(s.start), LANE - 4, s.kind);
      }
      text(name, 4, y + LANE / 2, ink);
    });
    servers.forEach((name, n) => {
      const y = STRIP + LANE * names.length + STRIP * n;
      context.fillStyle = ground;
      context.fillRect(LEFT, y + 8, Math.max(x(now) - LEFT, 0), STRIP - 16);
      for (const s of stretches(told.faults, name, from, now)) {
        stretch(context, x(s.start), y + 5, x(s.end) - x(s.start), STRIP - 10, s.kind);
      }
      text(name, 4, y + STRIP / 2, dim);
    });
    for (const bar of told.attempts) {
      const n = names.indexOf(bar.instance), a = x(bar.start), b = x(bar.end ?? now);
      if (n < 0 || b <= LEFT) continue;
      const y = STRIP + LANE * n + 6;
      patterned(context, a, y, Math.max(b - a, 3), LANE - 12, told.tasks.indexOf(bar.task), "#000");
      context.strokeStyle = SIGNS[bar.outcome] ? trouble : ink;
      context.strokeRect(a, y, Math.max(b - a, 3), LANE - 12);
      if (SIGNS[bar.outcome]) text(SIGNS[bar.outcome], b + 2, y + (LANE - 12) / 2, trouble);
    }
    for (const fault of told.faults) {
      const n = names.indexOf(fault.instance), m = servers.indexOf(fault.instance);
      if (fault.t < from) continue;
      const y = n >= 0 ? STRIP + LANE * (n + 0.5) : m >= 0 ? STRIP + LANE * names.length + STRIP * (m + 0.5) : STRIP / 2;
      context.fillStyle = look("--ls-ground");
      context.beginPath(); context.arc(x(fault.t), y, MARK, 0, 7); context.fill();
      context.strokeStyle = trouble; context.stroke();
      text(FAULTS[fault.kind] ?? "•", x(fault.t), y, trouble, "center");
    }
    context.fillStyle = dim;
    context.fillRect(x(now), 0, 1, height - AXIS);
  }
  const explain = () => {
    const wanted = told.tasks.join() + [...new Set(told.faults.map((f) => f.kind))].sort().join();
    if (wanted === drawn) return;
    drawn = wanted;
    const entries = told.tasks.map((task, n) => {
      const sample = make("canvas", { width: 26, height: 14 });
      patterned(sample.getContext("2d"), 0, 0, 26, 14, n, "#000");
      return make("span", {}, sample, ` ${task}`);
    });
    const marks = [...new Set(told.faults.map((f) => f.kind))].sort().map((k) => {
      const entry = make("span", {}, `${FAULTS[k] ?? "•"} ${VERBS[k]?.[0] ?? KEY[k] ?? k}`);
      if (k in STRETCHES) {
        const sample = make("canvas", { width: 26, height: 14 });
        stretch(sample.getContext("2d"), 0, 0, 26, 14, k);
        entry.append(" ", sample);
      }
      return entry;
    });
    key.replaceChildren(...entries, ...marks, make("span", {}, "! failed  ? lost  « handed back"));
  };
  const update = (s) => { state = s; received = performance.now(); draw(); };
  const take = (batch) => {
    if (batch.reset) told.clear();
    batch.events.forEach(told.take);
    told.forget((state.clock ?? 0) - 2 * WINDOW);
    explain();
    draw();
  };
  return { node: make("div", { class: "ls-timeline" }, canvas), key, update, take, draw, get moving() { return state.playing && !state.closed; } };
}

// --- the whole ----------------------------------------------------------------------------------------

function slider(send) {
  const input = make("input", { type: "range", min: 0, step: 0.01, "aria-label": "replay to this time, seconds" });
  const label = make("output");
  let held = false;
  input.addEventListener("input", () => { held = true; put(label, seconds(Number(input.value))); });
  input.addEventListener("change", () => { held = false; send({ do: "seek", t: Number(input.value) }); });
  const node = make("div", { class: "ls-slider" }, make("span", {}, "replay"), input, label);
  const update = (s) => {
    able(input, !s.off?.seek && !s.closed, s.off?.seek ?? "replays the world up to that instant; acting there begins a branch");
    input.max = s.end ?? 0;
    if (!held) { input.value = s.time ?? 0; put(label, `${seconds(s.time)} of ${seconds(s.end)}`); }
  };
  return { node, update };
}

function render({ model, el }) {
  const send = (message) => model.send(message);
  const parts = { bar: bar(send), table: table(send, model.get("acts")), timeline: timeline(), slider: slider(send), lamps: lamps(send) };
  const notice = make("p", { class: "ls-notice", role: "status" });
  const voice = make("div", { class: "ls-voice", "aria-live": "polite" });
  // JupyterLab takes single keys for itself where this attribute is missing.
  const root = make("section", { class: "labsched-panel", "aria-label": "live panel", "data-lm-suppress-shortcuts": "true" },
    parts.bar.node, parts.table.node, notice, parts.timeline.node, parts.timeline.key, parts.slider.node, parts.lamps.node, parts.lamps.picture, voice);
  root.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(root);
  const show = () => {
    const state = model.get("state") ?? {};
    for (const name of ["bar", "table", "timeline", "slider", "lamps"]) parts[name].update(state);
    root.classList.toggle("ls-closed", Boolean(state.closed));
    put(notice, state.notice ?? "");
  };
  const hear = (message, buffers) => {
    if (message.kind === "events") {
      parts.timeline.take(message);
      if (message.spoken.length) put(voice, message.spoken.join(". "));
    } else if (message.kind === "picture") parts.lamps.draw(message, buffers[0]);
  };
  let frame = requestAnimationFrame(function move() {
    if (parts.timeline.moving) parts.timeline.draw();
    frame = requestAnimationFrame(move);
  });
  const resized = new ResizeObserver(() => parts.timeline.draw());
  resized.observe(root);
  model.on("change:state", show);
  model.on("msg:custom", hear);
  show();
  send({ do: "hello" });
  return () => {
    cancelAnimationFrame(frame);
    resized.disconnect();
    model.off("change:state", show);
    model.off("msg:custom", hear);
  };
}

export default { render };
