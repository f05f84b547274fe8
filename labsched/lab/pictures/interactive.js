// A space-time picture in the browser: a mark says what it is, and pressed lights its causal past. What lies in it
// was worked out in Python; here numbers are compared.

function place(svg, marks) {
  // matplotlib names the groups of a mark `mark-ROW-N`; a mark may have several, in several places of the drawing order.
  const groups = marks.map(() => []);
  for (const group of svg.querySelectorAll("g[id^='mark-']")) {
    const row = Number(group.id.split("-")[1]);
    group.dataset.mark = row;
    groups[row]?.push(group);
    // A line of one pixel is hard to hit: each has a wide one, which nobody sees, under the pointer.
    for (const path of group.querySelectorAll(":scope > path")) {
      const wide = path.cloneNode();
      wide.setAttribute("class", "ls-wide");
      wide.removeAttribute("style");
      group.append(wide);
    }
  }
  return groups;
}

function render({ model, el }) {
  const marks = model.get("marks");
  const box = document.createElement("div"), said = document.createElement("p");
  box.className = "ls-spacetime";
  box.style.maxWidth = `${model.get("wide")}px`;
  // Parsed as a document of its own, from which no script runs; words are only ever set as text.
  const parsed = new DOMParser().parseFromString(model.get("svg"), "image/svg+xml").documentElement;
  const svg = document.importNode(parsed, true);
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-label", `${model.get("alt")} Arrow keys go from mark to mark, Enter lights its causal past.`);
  said.setAttribute("aria-live", "polite");
  box.append(svg, said);
  el.append(box);
  const groups = place(svg, marks);
  const drawn = marks.map((_, row) => row).filter((row) => groups[row].length).sort((a, b) => marks[a].n - marks[b].n);
  let over = null;

  const before = (row, chosen) => marks[row].n <= (marks[chosen].past[marks[row].line] ?? -1);
  const each = (row, name, yes) => { for (const group of groups[row] ?? []) group.classList.toggle(name, yes); };

  function show() {
    const chosen = marks[model.get("chosen")] ? model.get("chosen") : null;
    const lit = chosen === null ? [] : drawn.filter((row) => before(row, chosen));
    box.classList.toggle("ls-choosing", chosen !== null);
    for (const row of drawn) {
      each(row, "ls-lit", lit.includes(row));
      each(row, "ls-chosen", row === chosen);
      each(row, "ls-over", row === over);
    }
    const past = chosen === null ? "" : `Lit: ${lit.length - 1} of ${drawn.length - 1} other marks can have had a part in it. Escape clears.`;
    const mark = over ?? chosen;
    said.textContent = mark === null ? "Point at a mark, or press it to light its causal past."
      : `${marks[mark].said}. ${mark === chosen ? past : ""}`;
  }
  function choose(row) {
    model.set("chosen", row === model.get("chosen") ? null : row);
    model.save_changes();
    show();
  }
  function point(row) {
    if (row === over) return;
    over = row;
    show();
  }
  const at = (event) => {
    const group = event.target.closest?.("g[data-mark]");
    return group ? Number(group.dataset.mark) : null;
  };
  // Only a change under the pointer counts: a page that scrolls below it must not take what the keys point at.
  let under = null;
  const moved = (row) => { if (row !== under) point(under = row); };
  svg.addEventListener("pointermove", (event) => moved(at(event)));
  svg.addEventListener("pointerleave", () => moved(null));
  svg.addEventListener("click", (event) => { if (at(event) !== null) choose(at(event)); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && drawn.length) {
      const from = drawn.indexOf(over ?? model.get("chosen"));
      point(drawn[from < 0 ? (step > 0 ? 0 : drawn.length - 1) : Math.min(Math.max(from + step, 0), drawn.length - 1)]);
    } else if ((event.key === "Enter" || event.key === " ") && over !== null) choose(over);
    else if (event.key === "Escape" && model.get("chosen") !== null) choose(model.get("chosen"));
    else return;
    // The notebook has keys of its own for these.
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:chosen", show);
  show();
  return () => model.off("change:chosen", show);
}

export default { render };
