// One stream of what is new for all tabs of a browser: it opens six connections to a host, and a stream keeps one.
// The tab that holds the lock has the stream and tells the others; it is taken from one that no longer answers.
"use strict";

const LOOK_EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 2000;
const AGAIN_MS = 3000;
const REMEMBERED = 500;

function news(address) {
  const user = document.body.dataset.user;
  const tab = `${performance.timeOrigin}-${Math.random()}`;
  const told = new EventTarget();
  const names = new Set();
  const listen = told.addEventListener.bind(told);
  const shared = Boolean(navigator.locks && window.BroadcastChannel);
  const channel = shared ? new BroadcastChannel("claimbus") : { postMessage() {} };
  let stream = null;
  let waiting = null;
  let release = () => {};
  let remembered = [];
  let paused = false;
  let answered = false;
  let hasHeard = false;

  const say = (message) => channel.postMessage({ user, tab, ...message });
  const tell = (name) => told.dispatchEvent(new MessageEvent(name));
  const tellAll = () => names.forEach(tell);

  function open() {
    stream = new EventSource(address);
    const mine = stream;
    mine.onopen = () => {
      // What was said before it was open is not known, but that a page's first stream begins where the page was made.
      say({ all: true });
      if (hasHeard) tellAll();
      hasHeard = true;
    };
    mine.onmessage = ({ data }) => {
      remembered = [...remembered, { at: Date.now(), name: data }].slice(-REMEMBERED);
      say({ name: data });
      tell(data);
    };
    mine.onerror = () => {
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => stream === mine && open(), AGAIN_MS);
    };
  }

  function close() {
    if (stream) stream.close();
    stream = null;
    remembered = [];
    release();
  }

  function lock(options) {
    if (waiting) waiting.abort();
    waiting = options.steal ? null : new AbortController();
    const signal = waiting ? { signal: waiting.signal } : {};
    const held = () => new Promise((resolve) => {
      if (paused) return resolve();
      release = resolve;
      open();
    });
    navigator.locks.request(`claimbus ${user}`, { ...options, ...signal }, held).catch(() => {
      if (options.steal || signal.signal.aborted === false) {
        close(); // another tab took it
        if (!paused) lock({});
      }
    });
  }

  function pause() {
    paused = true;
    if (waiting) waiting.abort();
    close();
  }

  function resume() {
    paused = false;
    lock({});
    tellAll();
  }

  // A tab that has the stream and is frozen says nothing: whoever is looked at takes it over.
  function look() {
    if (stream || paused || document.hidden) return;
    answered = false;
    say({ asks: true });
    setTimeout(() => {
      if (!answered && !stream && !paused && !document.hidden) lock({ steal: true });
    }, ANSWER_WITHIN_MS);
  }

  channel.onmessage = ({ data }) => {
    if (data.user !== user) {
      if (data.begins && !paused) pause(); // somebody else has logged in: what is new for this tab's user is not theirs
      return;
    }
    if (data.begins && paused) resume();
    if (paused || (data.to && data.to !== tab)) return;
    if (data.asks && stream) {
      say({ to: data.tab, here: true });
      for (const { at, name } of remembered) if (at >= data.since) say({ to: data.tab, name });
    }
    if (data.here || data.name || data.all) answered = hasHeard = true;
    if (data.all) tellAll();
    if (data.name) tell(data.name);
  };

  if (shared) {
    lock({});
    say({ begins: true, asks: true, since: performance.timeOrigin - 1000 });
    setInterval(look, LOOK_EVERY_MS);
    document.addEventListener("visibilitychange", look);
  } else {
    const follow = () => (document.hidden ? close() : stream || open());
    document.addEventListener("visibilitychange", follow);
    follow();
  }

  return Object.assign(told, {
    readyState: EventSource.OPEN,
    close: pause,
    addEventListener(name, listener) {
      names.add(name);
      listen(name, listener);
    },
  });
}

if (document.body.hasAttribute("sse-connect")) htmx.createEventSource = news;
else if (window.BroadcastChannel) {
  new BroadcastChannel("claimbus").postMessage({ user: document.body.dataset.user, begins: true });
}
