// What needs a script: a form in a dialog instead of on its own page. Without it, links go to the page.
"use strict";

document.addEventListener("click", async (event) => {
  const closes = event.target.closest("dialog [data-close]");
  if (closes) {
    event.preventDefault();
    closes.closest("dialog").close();
    return;
  }
  const link = event.target.closest("a[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href, { headers: { accept: "text/html" } });
    const form = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#form");
    if (!answer.ok || !form) throw new Error(answer.status);
    open(link, form);
  } catch {
    location.assign(link.href);
  }
});

function open(link, form) {
  const dialog = document.createElement("dialog");
  dialog.className = "ds-dialog window";
  dialog.setAttribute("aria-labelledby", "form-name");
  dialog.append(form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    const opener = document.getElementById(link.id) || link;
    opener.focus();
  });
  document.body.append(dialog);
  const first = form.querySelector("input:not([type=hidden]), select, textarea") || form.querySelector("form button");
  if (first) first.autofocus = true;
  dialog.showModal();
}

// The session has ended. Whoever is writing goes on, and is asked to log in when they send; other pages go to the log-in.
document.addEventListener("session-ended", () => {
  const fields = Array.from(document.querySelectorAll("main input, main select, main textarea"));
  const isWritten = (field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked
    : field.options ? field.selectedIndex !== Math.max(0, Array.from(field.options).findIndex((o) => o.defaultSelected))
    : field.type !== "hidden" && field.value !== field.defaultValue;
  if (!document.querySelector("dialog[open], .uploads li") && !fields.some(isWritten)) location.reload();
});
