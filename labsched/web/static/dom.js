// Elements and words. Everything that comes from the cluster is set as text: it may hold anything.

export const $ = (selector) => document.querySelector(selector);

export function el(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Rows by key, changed in place: the focus stays where it is, and a screen reader is not sent back to the top.
export function rows(body, items, key, fill) {
  const there = new Map([...body.children].map((row) => [row.dataset.key, row]));
  let before = null;
  for (const item of items) {
    const id = key(item);
    let row = there.get(id);
    if (row) there.delete(id);
    else { row = el("tr"); row.dataset.key = id; }
    const next = before ? before.nextSibling : body.firstChild;
    if (row !== next) body.insertBefore(row, next);
    fill(row, item);
    before = row;
  }
  for (const row of there.values()) row.remove();
  if (!items.length && !body.querySelector(".none")) {
    const columns = body.parentElement.tHead.rows[0].cells.length;
    const row = el("tr", {}, el("td", { className: "none", colSpan: columns, textContent: "none" }));
    row.dataset.key = "";
    body.append(row);
  }
}

// Cells of a row: [text, class, what it is short for, where it leads]; a cell is only touched when its words change.
export function cells(row, wanted) {
  wanted.forEach(([text, className = "", full, href], at) => {
    const cell = row.cells[at] || row.insertCell();
    if (cell.textContent !== text) {
      if (href) cell.replaceChildren(el("a", { textContent: text, href }));
      else cell.textContent = text;
      cell.title = full || (className === "name" ? text : "");
    }
    if (cell.className !== className) cell.className = className;
  });
}

// The console's page about something.
export const about = (...parts) => `/scheduler/console#/${parts.map(encodeURIComponent).join("/")}`;

// Buttons at the end of a row: [label, what a screen reader says, action].
export function buttons(row, at, wanted) {
  const cell = row.cells[at] || row.insertCell();
  cell.className = "do";
  while (cell.children.length > wanted.length) cell.lastChild.remove();
  wanted.forEach(([label, spoken, action], index) => {
    // The same element, so that Pause is Resume afterwards and the focus is still on it.
    const button = cell.children[index] || cell.appendChild(el("button", { type: "button" }));
    if (button.textContent !== label) button.textContent = label;
    button.setAttribute("aria-label", spoken);
    button.onclick = action;
  });
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.abs(seconds);
  if (s < 0.0995) return `${(s * 1000).toFixed(s < 0.00995 ? 1 : 0)} ms`;
  if (s < 60) return `${s.toFixed(s < 9.95 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d`;
}

export const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

// A slot's run is named by milliseconds; people read clocks.
export const run = (id) => id.replace(/@(\d{13})(?=~|$)/, (_, ms) => ` @ ${clock(ms / 1000)}`);
