// Files of a report: announced as what they are, sent with progress, verified, and named in the form by their signed key.
const fieldset = document.getElementById("media");
const form = fieldset.closest("form");
const list = fieldset.querySelector(".uploads");
const dialog = document.getElementById("without-files");
const texts = list.dataset;
const whyNot = JSON.parse(texts.whyNot);
const inVain = ["invalid_request", "media_too_large", "media_type_not_taken", "upload_differs", "unreadable", "insecure"];
const firstBytes = 1024;
const running = new Map();
let waiting = Promise.resolve();

class NotUploaded extends Error {
  constructor(code) {
    super(code);
    this.code = code in whyNot ? code : "upload_broken";
  }
}

fieldset.hidden = false;
for (const item of list.children) removable(item);
for (const input of fieldset.querySelectorAll('input[type="file"]')) {
  input.addEventListener("change", () => take(input));
  take(input); // what was chosen before this was loaded
}

form.addEventListener("submit", (event) => {
  const missing = notUploaded();
  if (!missing.length) return;
  event.preventDefault();
  dialog.querySelector("ul").replaceChildren(
    ...missing.map((item) => {
      const line = document.createElement("li");
      line.textContent = item.querySelector(".file-name").textContent;
      return line;
    }),
  );
  dialog.showModal();
});

document.getElementById("send-without").addEventListener("click", () => {
  notUploaded().forEach(remove);
  dialog.close();
  form.requestSubmit();
});

function notUploaded() {
  return Array.from(list.children).filter((item) => !("uploaded" in item.dataset));
}

function take(input) {
  for (const file of input.files) add(file);
  input.value = "";
}

function add(file) {
  const item = fieldset.querySelector("template").content.firstElementChild.cloneNode(true);
  show(file, item.querySelector("img"));
  item.querySelector(".file-name").textContent = file.name;
  item.querySelector("progress").setAttribute("aria-label", file.name);
  item.querySelector("[data-again]").addEventListener("click", () => begin(item, file));
  list.append(item);
  removable(item);
  begin(item, file);
}

// A picture that the browser does not know, as HEIC for most of them, is not shown.
function show(file, picture) {
  const address = URL.createObjectURL(file);
  const release = () => URL.revokeObjectURL(address);
  picture.addEventListener("load", () => {
    picture.hidden = false;
    release();
  });
  picture.addEventListener("error", release);
  picture.src = address;
}

function removable(item) {
  const name = item.querySelector(".file-name").textContent;
  for (const button of item.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent} ${name}`);
  item.querySelector("[data-remove]").addEventListener("click", () => {
    const next = item.nextElementSibling || item.previousElementSibling;
    remove(item);
    (next ? next.querySelector("[data-remove]") : fieldset.querySelector('input[type="file"]')).focus();
  });
}

function remove(item) {
  running.get(item)?.abort();
  item.remove();
  number();
}

function number() {
  for (const [at, item] of list.querySelectorAll("li[data-uploaded]").entries()) {
    for (const input of item.querySelectorAll("[data-media]")) input.name = `media.${at}.${input.dataset.media}`;
  }
}

function begin(item, file) {
  const stop = new AbortController();
  running.set(item, stop);
  delete item.dataset.failed;
  item.querySelector("[data-again]").hidden = true;
  item.querySelector("progress").hidden = false;
  tell(item, texts.waiting);
  waiting = waiting
    .then(() => stop.signal.aborted || send(item, file, stop.signal))
    .catch((error) => stop.signal.aborted || fail(item, error))
    .finally(() => running.delete(item));
}

function tell(item, text) {
  item.querySelector(".file-state").textContent = text;
}

function fail(item, error) {
  const code = error instanceof NotUploaded ? error.code : "upload_broken";
  item.dataset.failed = "";
  item.querySelector("progress").hidden = true;
  item.querySelector("[data-again]").hidden = inVain.includes(code);
  tell(item, `${texts.failed} ${whyNot[code]}`);
}

async function send(item, file, signal) {
  if (file.size > Number(texts.largest)) throw new NotUploaded("media_too_large");
  if (!window.crypto.subtle) throw new NotUploaded("insecure");
  tell(item, texts.reading);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new NotUploaded("unreadable");
  });
  const sha256 = hexadecimal(await window.crypto.subtle.digest("SHA-256", bytes));
  const first = btoa(String.fromCharCode(...new Uint8Array(bytes.slice(0, firstBytes))));
  const name = file.name.replace(/[\ud800-\udfff]/gu, ""); // halves of a character, which no JSON can carry
  const chosen = { name, size: file.size, sha256, first };
  const { id, url, ...known } = await ask("/opplasting", JSON.stringify(chosen), signal);
  tell(item, texts.sending);
  await put(url, file, item.querySelector("progress"), signal);
  const { key } = await ask(`/opplasting/${id}/ferdig`, "", signal);
  for (const [field, value] of Object.entries({ ...known, size: file.size, sha256, key })) {
    item.querySelector(`[data-media="${field}"]`).value = value;
  }
  item.dataset.uploaded = "";
  item.querySelector("progress").remove();
  tell(item, texts.uploaded);
  number();
}

function hexadecimal(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(address, body, signal, again = true) {
  const headers = { "content-type": "application/json", "x-csrf-token": form.elements.csrf.value };
  const answer = await reach(address, { method: "POST", headers, body, signal });
  if (answer.status === 403 && again) {
    await renew(signal);
    return ask(address, body, signal, false);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new NotUploaded(content.code || codeOf(answer.status));
  return content;
}

// Takes the token of the session that is now, which somebody who logged in meanwhile has in another tab.
async function renew(signal) {
  const page = await reach(location.href, { signal });
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html").querySelector('[name="csrf"]');
  if (fresh) form.elements.csrf.value = fresh.value;
}

async function reach(address, options) {
  const answer = await fetch(address, { redirect: "manual", ...options }).catch(() => {
    throw new NotUploaded(navigator.onLine ? "unreachable" : "offline");
  });
  if (answer.type === "opaqueredirect" || answer.status === 401) throw new NotUploaded("no_token");
  return answer;
}

function put(address, file, bar, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.addEventListener("load", () => {
      if (request.status < 300) resolve();
      else reject(new NotUploaded(codeIn(request.responseText) || codeOf(request.status)));
    });
    const broken = () => reject(new NotUploaded(navigator.onLine ? "upload_broken" : "offline"));
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, broken);
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

function codeIn(text) {
  try {
    return JSON.parse(text).code;
  } catch {
    return null; // another's answer: a proxy's, or the object store's
  }
}

function codeOf(status) {
  if (status === 413) return "media_too_large";
  return status >= 500 ? "try_again" : "upload_broken";
}
