// What needs a script: a form in a dialog instead of on its own page. Without it, links go to the page.
"use strict";

document.addEventListener("click", async (event) => {
  const closes = event.target.closest("dialog [data-lukk]");
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
    const form = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#skjema");
    if (!answer.ok || !form) throw new Error(answer.status);
    open(link, form);
  } catch {
    location.assign(link.href);
  }
});

function open(link, form) {
  const dialog = document.createElement("dialog");
  dialog.className = "ds-dialog vindu";
  dialog.setAttribute("aria-labelledby", "skjema-navn");
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
document.addEventListener("okt-avsluttet", () => {
  const fields = Array.from(document.querySelectorAll("main input, main select, main textarea"));
  const isWritten = (field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked
    : field.options ? field.selectedIndex !== Math.max(0, Array.from(field.options).findIndex((o) => o.defaultSelected))
    : field.type !== "hidden" && field.value !== field.defaultValue;
  if (!document.querySelector("dialog[open], .opplastinger li") && !fields.some(isWritten)) location.reload();
});

// Files of a report: announced, sent with progress, verified, and named in the form by their signed key.
function uploads(fieldset) {
  const list = fieldset.querySelector(".opplastinger");
  const form = fieldset.closest("form");
  const csrf = form.elements.csrf.value;
  const said = list.dataset;
  const types = { heic: "image/heic", mov: "video/quicktime", mp4: "video/mp4", pdf: "application/pdf" };
  let number = form.querySelectorAll('[name^="media."][name$=".key"]').length;
  let waiting = Promise.resolve();
  let open = 0;

  fieldset.hidden = false;
  for (const input of fieldset.querySelectorAll('input[type="file"]')) {
    input.addEventListener("change", () => {
      for (const file of input.files) add(file);
      input.value = "";
    });
  }

  function add(file) {
    const item = document.createElement("li");
    const picture = document.createElement("img");
    const name = document.createElement("span");
    const state = document.createElement("span");
    const bar = document.createElement("progress");
    picture.alt = "";
    picture.addEventListener("error", () => picture.removeAttribute("src"));
    if (file.type.startsWith("image/")) picture.src = URL.createObjectURL(file);
    name.textContent = file.name;
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    item.append(picture, name, state, bar);
    list.append(item);
    begin({ file, item, state, bar });
  }

  function begin(upload) {
    open += 1;
    ready();
    waiting = waiting.then(() => send(upload)).catch((error) => fail(upload, error.message)).finally(() => {
      open -= 1;
      ready();
    });
  }

  function ready() {
    for (const button of form.querySelectorAll("button:not([type])")) button.disabled = open > 0;
  }

  async function send({ file, item, state, bar }) {
    if (!window.crypto.subtle) throw new Error(said.usikker);
    state.textContent = said.leser;
    const digest = await window.crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const type = file.type || types[file.name.split(".").pop().toLowerCase()] || "application/octet-stream";
    const about = { name: file.name.slice(0, 200), content_type: type, size: file.size, sha256 };
    const started = await ask("/opplasting", JSON.stringify(about));
    state.textContent = said.sender;
    await put(started.url, file, bar);
    const { key } = await ask(`/opplasting/${started.id}/ferdig`, "");
    for (const [field, value] of Object.entries({ ...about, key })) {
      const hidden = document.createElement("input");
      hidden.type = "hidden";
      hidden.name = `media.${number}.${field}`;
      hidden.value = value;
      item.append(hidden);
    }
    number += 1;
    bar.remove();
    state.textContent = said.lastet;
    item.append(button(said.fjern, () => item.remove()));
  }

  async function ask(address, body) {
    const headers = { "content-type": "application/json", "x-csrf-token": csrf };
    const answer = await fetch(address, { method: "POST", headers, body });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(content.message || said.brutt);
    return content;
  }

  function put(address, file, bar) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", address);
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) bar.value = event.loaded / event.total;
      });
      request.addEventListener("load", () => {
        if (request.status < 300) return resolve();
        let message = said.brutt;
        try {
          message = JSON.parse(request.responseText).message[document.documentElement.lang] || message;
        } catch {}
        reject(new Error(message));
      });
      request.addEventListener("error", () => reject(new Error(said.brutt)));
      request.send(file);
    });
  }

  function fail(upload, why) {
    upload.state.textContent = `${said.feil} ${why}`;
    const again = button(said.igjen, () => {
      again.remove();
      begin(upload);
    });
    upload.item.append(again);
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "ds-button";
    made.dataset.variant = "tertiary";
    made.dataset.size = "sm";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }
}

for (const fieldset of document.querySelectorAll("[data-kun-skript]")) uploads(fieldset);
