// The list of uploads and copies: a row for each, with its progress and a button to cancel it, or to replace what is there.

import { element, sizeText } from "./elements.js";

const CONFLICTS = [409, 412];
const rows = document.getElementById("rows");
const news = document.getElementById("news");

// Shows a transfer until it is over. Calls run({replace, signal, onProgress}) once, and again if the user replaces the target.
export async function transfer(title, run) {
  const bar = element("progress", { ariaLabel: title });
  const state = element("span", { className: "state" });
  const button = element("button", { type: "button" });
  const remove = element("button", { type: "button", ariaLabel: `Remove from list: ${title}` }, "Remove");
  const row = element("li", {}, element("span", { className: "name" }, title), bar, state, button, remove);
  rows.prepend(row);
  document.getElementById("transfers").hidden = false;

  const tell = (text, name) => {
    state.textContent = text;
    row.className = name;
    news.textContent = `${title}: ${text}`;
  };
  const offer = (label, action) => {
    button.textContent = label;
    button.ariaLabel = `${label}: ${title}`;
    button.onclick = action;
  };
  remove.onclick = () => {
    row.remove();
    document.getElementById("transfers").hidden = rows.childElementCount === 0;
    document.getElementById("chosen").focus();
  };
  const onProgress = (done, total) => {
    if (total === null) return;
    bar.max = Math.max(total, 1);
    bar.value = total ? done : 1;
    state.textContent = done < total ? `${sizeText(done)} of ${sizeText(total)}` : "Being stored …";
  };

  const attempt = async (replace) => {
    const controller = new AbortController();
    const { signal } = controller;
    bar.removeAttribute("value");
    bar.hidden = button.hidden = false;
    remove.hidden = true;
    tell("Waiting …", "");
    offer("Cancel", () => controller.abort());
    let failure = null;
    try {
      await Promise.race([run({ replace, signal, onProgress }), aborted(signal)]);
      tell("Done", "done");
    } catch (error) {
      failure = error;
      tell(signal.aborted ? "Cancelled" : error.message, "failed");
    }
    const wasFocused = document.activeElement === button;
    offer("Replace", () => attempt(true));
    button.hidden = !CONFLICTS.includes(failure?.status);
    bar.hidden = true;
    remove.hidden = false;
    if (wasFocused && button.hidden) remove.focus();
  };
  await attempt(false);
}

// A transfer that is cancelled before its turn does not wait for it.
function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
