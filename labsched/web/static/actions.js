// Steering: every call carries the token in a header. It is asked for once, and kept for this tab alone.

import { $ } from "./dom.js";

const KEY = "labsched-token";

export const token = () => sessionStorage.getItem(KEY) || "";

export function ask() {
  const dialog = $("#ask");
  $("#token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", async () => {
      const given = $("#token").value.trim();
      if (dialog.returnValue !== "ok" || !given) return resolve(false);
      sessionStorage.setItem(KEY, given);
      // The cookie is for the console's pages, which a browser opens without headers.
      const answer = await fetch("/api/session", { method: "POST", headers: { authorization: `Bearer ${given}` } });
      if (!answer.ok) sessionStorage.removeItem(KEY);
      tell(answer.ok ? "token accepted" : "that is not the token");
      resolve(answer.ok);
    }, { once: true });
  });
}

export async function act(path, done) {
  if (!token() && !(await ask())) return;
  try {
    const answer = await fetch(path, { method: "POST", headers: { authorization: `Bearer ${token()}` } });
    const said = await answer.json();
    if (answer.status === 401) sessionStorage.removeItem(KEY);
    tell(answer.ok ? done(said.result) : said.error);
  } catch (error) {
    tell(`no answer: ${error.message}`);
  }
}

let clearing = 0;
export function tell(words) {
  const notice = $("#notice");
  notice.textContent = words;
  notice.hidden = false;
  clearTimeout(clearing);
  clearing = setTimeout(() => { notice.hidden = true; }, 8000);
}
