// The console: a read-only look at everything, one address (#/…) for each view. It reads the same calls as programs do.

import { $, el, span } from "./dom.js";
import { ask, token } from "./actions.js";

const TABS = ["tasks", "executions", "instances", "locks", "events", "keys"];
const STATES = ["", "BUFFERED", "READY", "RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "DEAD", "CANCELLED", "SKIPPED"];
const utc = (ms) => (ms === null || ms === undefined ? "" : new Date(ms).toISOString().replace("T", " ").slice(0, 23));
const took = (x) => (x.started && x.finished ? span((x.finished - x.started) / 1000) : "");
const link = (words, ...parts) => el("a", { textContent: words, href: `#/${parts.map(encodeURIComponent).join("/")}` });

async function get(path) {
  const headers = token() ? { authorization: `Bearer ${token()}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function table(headers, rows, empty) {
  if (!rows.length) return el("p", { className: "dim", textContent: empty });
  const head = el("thead", {}, el("tr", {}, ...headers.map((h) => el("th", { scope: "col", textContent: h }))));
  const body = el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell ?? "")))));
  return el("div", { className: "scroll tall", tabIndex: 0 }, el("table", {}, head, body));
}

function facts(pairs) {
  return el("dl", { className: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", {}, typeof value === "object" && !(value instanceof Node) ? JSON.stringify(value) : value)]));
}

const state = (name) => el("span", { textContent: name, className: name === "SUCCEEDED" ? "good" : ["FAILED", "DEAD"].includes(name) ? "bad" : name === "RUNNING" ? "info" : "" });
const title = (words) => el("h2", { textContent: words });

const views = {
  async tasks(name) {
    if (!name) {
      const found = await get("/api/tasks");
      return [title(many(found, "task")), table(["task", "status", "runner", "overlap", "next", "running", "waiting", "succeeded", "failed"],
        found.map((t) => [link(t.task.name, "tasks", t.task.name), t.status, t.task.runner, t.task.overlap, utc(t.next_due), t.running, t.backlog,
          t.counts.SUCCEEDED || 0, (t.counts.FAILED || 0) + (t.counts.DEAD || 0)]), "no task is defined")];
    }
    const [all, next] = await Promise.all([get("/api/tasks"), get(`/api/tasks/${encodeURIComponent(name)}/preview`)]);
    const info = all.find((t) => t.task.name === name);
    return [title(name), facts([["status", `${info.status} (by ${info.status_by})`], ["watermark", utc(info.watermark)], ...Object.entries(info.task)]),
      el("p", {}, link("its runs", "executions", `task=${name}`)), title("next slots"),
      table(["slot", ""], next.map((p) => [p.slot ? utc(typeof p.slot === "number" ? p.slot : Date.parse(p.slot)) : "", p.note || ""]), "none to come")];
  },
  async executions(query = "") {
    const asked = new URLSearchParams(query);
    const form = filters(asked);
    const found = await get(`/api/executions?${asked}`);
    const older = found.length >= 100 ? link("older", "executions", next(found, asked)) : null;
    return [form, table(["run", "state", "instance", "attempt", "created", "took", "reason"], found.map((x) => [link(x.id, "execution", x.id), state(x.state),
      x.instance, x.attempt, utc(x.created), took(x), x.reason || (x.error ? `${x.error.type}: ${x.error.message}` : "")]), "no run is like that"), older];
  },
  async execution(id) {
    const path = `/api/executions/${encodeURIComponent(id)}`;
    const [x, why] = await Promise.all([get(path), get(`${path}/why`)]);
    return [title(x.id), el("ul", { className: "why" }, ...why.map((r) => el("li", { textContent: r.text }))),
      facts([["task", link(x.task, "tasks", x.task)], ["state", state(x.state)], ["slot", utc(x.slot)], ["due", utc(x.due)], ["created", utc(x.created)],
        ["started", utc(x.started)], ["finished", utc(x.finished)], ["took", took(x)], ["instance", x.instance], ["token", x.token], ["priority", x.priority],
        ["losses", x.losses], ["progress", x.progress && `${x.progress[0]} of ${x.progress[1]}`], ["reason", x.reason], ["payload", JSON.stringify(x.payload)], ["result", x.result === null ? "" : JSON.stringify(x.result)]]),
      title("attempts"), table(["number", "instance", "token", "started", "ended", "outcome", "error"], x.attempts.map((a) => [a.number, a.instance, a.token, utc(a.started), utc(a.ended), a.outcome || "runs", a.error]), "none yet"),
      x.error && title(`${x.error.type}: ${x.error.message}`), x.error && el("pre", { textContent: x.error.traceback }),
      x.log.length ? title("log") : null, x.log.length ? el("pre", { textContent: x.log.join("\n") }) : null];
  },
  async instances() {
    const found = await get("/api/instances");
    return [title(many(found, "instance")), table(["instance", "state", "leads", "epoch", "incarnation", "running", "pool", "lease left", "joined", "host", "pid", "handlers"],
      found.map((i) => [link(i.name, "executions", `instance=${i.name}`), i.state, i.leader ? "♛" : "", i.epoch, i.incarnation, i.running, i.pool_size, span(i.lease_left), utc(i.joined), i.hostname, i.pid, Object.keys(i.handlers).join(", ")]), "nobody is a member")];
  },
  async locks() {
    const found = await get("/api/locks");
    return [title(many(found, "lock")), table(["lock", "holder", "token", "until", "left", "released", "waiting"], found.map((l) => [l.name, l.owner, l.token, utc(l.lock_until), span(l.left), l.released ? "yes" : "", l.waiters]), "no lock is held")];
  },
  async events() {
    const found = (await get("/api/events?limit=200")).reverse();
    return [title("the newest events"), table(["at", "kind", "task", "run", "attempt", "token", "instance", "epoch", "data"], found.map((e) => [utc(e.at * 1000), e.kind, e.task,
      e.execution ? link(e.execution, "execution", e.execution) : "", e.attempt, e.token, e.instance, e.epoch, el("code", { textContent: JSON.stringify(e.data) })]), "nothing has happened")];
  },
  async keys(query = "") {
    const asked = new URLSearchParams(query);
    const page = await get(`/api/keys?${asked}`);
    const form = el("form", { className: "tools" }, field("part", "name contains", asked));
    form.addEventListener("submit", (event) => { event.preventDefault(); location.hash = `#/keys/${encodeURIComponent(new URLSearchParams(new FormData(form)))}`; });
    const more = page.cursor === "0" ? null : link("more", "keys", new URLSearchParams({ ...Object.fromEntries(asked), cursor: page.cursor }).toString());
    return [title(`keys of ${page.prefix}`), form, table(["key", "type"], page.keys.map((key) => [link(key.name, "key", key.name), key.type]), "none in this stretch"), more];
  },
  async key(name) {
    const key = await get(`/api/keys/${encodeURIComponent(name)}`);
    return [title(key.name), facts([["type", key.type], ["size", key.size], ["expires in", key.left === null ? "never" : span(key.left)]]),
      table(["", "", "", "", "", "", "", "", ""].slice(0, Math.max(1, ...key.rows.map((r) => r.length))), key.rows.map((r) => r.map((c) => el("code", { textContent: c }))), "empty"),
      key.size > key.rows.length && key.type !== "string" ? el("p", { className: "dim", textContent: `the first ${key.rows.length} of ${key.size}` }) : null];
  },
};

// Listings go by this time; several runs may share a millisecond, so those that were shown are skipped.
function placed(x, asked) {
  const state = asked.get("state");
  if (state === "RUNNING") return x.started;
  const byTask = state === "SUCCEEDED" && asked.get("task");
  return ["SUCCEEDED", "FAILED", "DEAD", "CANCELLED", "SKIPPED"].includes(state) && !byTask ? x.finished : x.created;
}

function next(found, asked) {
  const last = placed(found.at(-1), asked), shown = found.filter((x) => placed(x, asked) === last).length;
  const before = Number(asked.get("skip") || 0);
  const same = Number(asked.get("before")) === last + 1 ? before : 0;
  return new URLSearchParams({ ...Object.fromEntries(asked), before: last + 1, skip: same + shown }).toString();
}

const local = (ms) => (ms ? new Date(Number(ms)).toISOString().slice(0, 19) : "");
const when = (name, words, asked) => el("label", {}, `${words} `, el("input", { name, type: "datetime-local", step: 1, value: local(asked.get(name)) }), " ");

const many = (found, noun) => `${found.length} ${noun}${found.length === 1 ? "" : "s"}`;

function field(name, words, asked) {
  return el("label", {}, `${words} `, el("input", { name, value: asked.get(name) || "", autocomplete: "off", spellcheck: false }), " ");
}

function filters(asked) {
  const choose = el("select", { name: "state" }, ...STATES.map((s) => el("option", { value: s, textContent: s || "any", selected: s === (asked.get("state") || "") })));
  const form = el("form", { className: "tools" }, field("task", "task", asked), el("label", {}, "state ", choose, " "), field("instance", "instance", asked), when("since", "from (UTC)", asked), when("before", "to", asked), el("button", { textContent: "Find" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = [...new FormData(form)].filter(([, value]) => value)
      .map(([name, value]) => [name, ["since", "before"].includes(name) ? Date.parse(`${value}Z`) : value]);
    location.hash = `#/executions/${encodeURIComponent(new URLSearchParams(given))}`;
  });
  return form;
}

let turn = 0;
async function show() {
  const own = (turn += 1), address = location.hash;
  let tab = "tasks", rest = [];
  try {
    [, tab = "tasks", ...rest] = location.hash.split("/").map(decodeURIComponent);
  } catch { /* an address that somebody typed: the first view will do */ }
  $("#tabs").replaceChildren(...TABS.map((name) => {
    const made = link(name, name);
    if (name === tab) made.setAttribute("aria-current", "page");
    return made;
  }));
  const view = $("#view");
  view.setAttribute("aria-busy", "true");
  let parts;
  try {
    parts = await (views[tab] || views.tasks)(rest.join("/") || undefined);
  } catch (error) {
    parts = [el("p", { className: "bad", textContent: error.message })];
  }
  if (own !== turn) return;
  view.replaceChildren(...parts.filter(Boolean));
  view.dataset.shows = address;
  view.setAttribute("aria-busy", "false");
}

addEventListener("hashchange", show);
$("#sign-in").addEventListener("click", async () => { if (await ask()) show(); });
show();
