// The pages work without this file; with it they are live, and go by keyboard. Texts from outside are only ever set as text.
"use strict";

const body = document.body;
const say = (text) => { document.getElementById("live").textContent = text; };
const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "") || document.querySelector("dialog[open]");

// Times, in the reader's own zone; the title keeps UTC.
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-left]):not([title])")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      time.title = time.textContent.endsWith("UTC") ? time.textContent : at.toISOString();
      if (time.textContent.endsWith("UTC")) time.textContent = zone.format(at);
    }
  }
}
function left() {
  for (const time of document.querySelectorAll("time[data-left]")) {
    const seconds = Math.round((new Date(time.dateTime) - Date.now()) / 1000);
    const said = seconds < 0 ? "time is up" : seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min`
      : seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
    time.textContent = time.classList.contains("left") && seconds >= 0 ? `${said} left` : said;
  }
}

// Live: what happens is shown as it comes, and the part that says how things stand asks for itself again, at most once a second.
const seen = new Set();
let source, again;
function follow() {
  const live = document.querySelector("[data-live]");
  if (!live || live.hasAttribute("data-once")) return;
  source?.close();
  source = new EventSource(live.dataset.live);
  source.addEventListener("record", (event) => {
    const record = JSON.parse(event.data);
    if (seen.has(record.seq)) return;
    seen.add(record.seq);
    const kinds = live.dataset.kinds?.split(",");
    if (kinds && !kinds.includes(record.kind)) return;
    const timeline = document.getElementById("timeline");
    if (timeline) timeline.append(line(record));
    if (record.kind === "decision" && record.event === "decided") quiet((call) => call.step === record.step);
    if (record.kind === "ruling") say(record.text || "a request has changed");
    refresh();
  });
  source.addEventListener("saying", (event) => hear(JSON.parse(event.data)));
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("open", () => body.setAttribute("data-connected", ""));
  source.addEventListener("error", () => body.removeAttribute("data-connected"));
}
function line(record) {
  const item = document.createElement("li");
  item.className = `${record.kind} fresh`;
  const time = document.createElement("time");
  time.dateTime = record.at;
  time.textContent = zone.format(new Date(record.at));
  const kind = document.createElement("span");
  kind.className = "kind";
  kind.textContent = record.kind;
  const what = document.createElement("div");
  if (record.step) {
    const step = document.createElement("b");
    step.textContent = record.step;
    what.append(step, " ");
  }
  what.append(record.text);
  if (record.notes?.length) {
    const notes = document.createElement("ul");
    for (const note of record.notes) notes.append(Object.assign(document.createElement("li"), { textContent: note }));
    what.append(notes);
  }
  item.append(time, kind, what);
  return item;
}

// What the model says, shown as text while it comes; the record of its decision takes its place. How it stands is spoken, the text is not.
const STANDING = { saying: "is being said", done: "said", superseded: "superseded" };
const SHOWN = 65536;
const calls = () => [...document.querySelectorAll("#said > [data-call]")];
const named = (item) => ({ id: item.dataset.call, step: item.querySelector("b").textContent });
function quiet(which) {
  for (const item of calls()) if (which(named(item))) item.remove();
  const region = document.getElementById("saying");
  if (region) region.hidden = calls().length === 0;
}
function hear(told) {
  const list = document.getElementById("said");
  if (!list) return;
  for (const call of told.calls) {
    let item = calls().find((one) => one.dataset.call === call.id);
    const before = item && Object.keys(STANDING).find((state) => item.classList.contains(state));
    if (!item) list.append(item = utterance(call));
    if (before !== call.state) stand(item, call);
    utter(item.querySelector("pre"), call);
  }
  quiet(({ id }) => told.gone.includes(id) || told.whole && !told.calls.some((call) => call.id === id));
}
function utterance(call) {
  const item = document.getElementById("said-call").content.firstElementChild.cloneNode(true);
  item.dataset.call = call.id;
  item.querySelector("b").textContent = call.step;
  item.querySelector(".dim").textContent = `attempt ${call.attempt}, call ${call.call}`;
  return item;
}
function stand(item, call) {
  item.className = `said ${call.state}`;
  item.querySelector(".standing").textContent = STANDING[call.state] ?? "";
  if (call.state === "saying") say(`The model is answering ${call.step}`);
  if (call.state === "superseded") say(`What was said to ${call.step} in attempt ${call.attempt} is superseded`);
}
function utter(where, call) {
  const atEnd = where.scrollHeight - where.scrollTop - where.clientHeight < 24;
  if (call.anew) where.textContent = call.text;
  else if (call.text) where.append(call.text);
  if (where.textContent.length > 2 * SHOWN) where.textContent = where.textContent.slice(-SHOWN);
  if (atEnd) where.scrollTop = where.scrollHeight;
}
function refresh() {
  if (again) return;
  // Apart by chance, so that many pages do not ask all at once.
  again = setTimeout(() => {
    again = undefined;
    const live = document.querySelector("[data-live]");
    // What a person is about to say is not taken from under their hands.
    const part = document.querySelector("#state, #list, #rows");
    if (!live || !part) return;
    if (part.contains(document.activeElement) && typing() || part.querySelector("details[open] form input:not([type=hidden]):focus, .bulk:not([hidden])")) return refresh();
    const opened = [...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
    const address = live.dataset.refresh ?? location.pathname + location.search;
    htmx.ajax("GET", address, { target: `#${part.id}`, swap: "outerHTML" }).then(() => {
      for (const summary of document.querySelectorAll(`#${part.id} details > summary`)) {
        if (opened.includes(summary.textContent)) summary.parentElement.open = true;
      }
    });
  }, 700 + Math.random() * 600);
}

// The inbox: which card is open, and a word on several.
let current;
function mark() {
  for (const item of document.querySelectorAll(".item")) item.classList.toggle("open", item.dataset.request === current);
}
function choose() {
  const list = document.getElementById("list");
  if (!list) return;
  const chosen = [...list.querySelectorAll("input[name=chosen]:checked")];
  const same = chosen[0]?.closest(".item").dataset.same;
  for (const box of list.querySelectorAll("input[name=chosen]")) {
    box.disabled = Boolean(same) && box.closest(".item").dataset.same !== same;
  }
  list.querySelector(".bulk").hidden = chosen.length === 0;
  list.querySelector("[data-chosen]").textContent = String(chosen.length);
}
body.addEventListener("change", (event) => { if (event.target.name === "chosen") choose(); });
body.addEventListener("click", (event) => {
  const link = event.target.closest?.(".item > a");
  if (link) { current = link.parentElement.dataset.request; mark(); }
});
body.addEventListener("htmx:beforeRequest", (event) => {
  // On a phone there is no second column: a request is a page.
  const link = event.detail.elt;
  if (link.matches?.(".item > a") && matchMedia("(max-width: 60rem)").matches) {
    event.preventDefault();
    location.assign(link.href);
  }
});
body.addEventListener("htmx:afterSwap", (event) => {
  localTimes(document);
  left();
  mark();
  choose();
  const result = event.detail.target.querySelector?.("[data-result]") ?? (event.detail.target.id === "card" && document.querySelector("#card [data-result]"));
  if (result) say(result.textContent);
  if (event.detail.target.id === "card") {
    const wrong = document.querySelector("#card [aria-invalid]");
    (wrong ?? document.querySelector("#card h2"))?.focus({ preventScroll: !wrong });
    if (result) refresh();
  }
});

// Keys.
let before = "";
const items = () => [...document.querySelectorAll("[data-item]")];
function step(by) {
  const all = items();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
function toRule(name) {
  const form = document.querySelector(`form[data-rule=${name}]`);
  if (name === "edit") document.querySelector("[data-edit]")?.setAttribute("open", "");
  (name === "approve" ? form?.querySelector("button") : form?.querySelector("input:not([type=hidden]), textarea"))?.focus();
}
const PAGES = { i: "/inbox", r: "/runs", c: "/calendar", m: "/memory", n: "/numbers" };
const KEYS = {
  j: () => step(1), k: () => step(-1), a: () => toRule("approve"), r: () => toRule("reject"), e: () => toRule("edit"),
  x: () => document.activeElement?.closest?.(".item")?.querySelector("input[name=chosen]")?.click(),
  "/": () => document.querySelector("#filters input[type=search], #filters select")?.focus(),
  "?": () => document.getElementById("keys").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing()) return document.activeElement.blur();
  if (typing()) return;
  if (before === "g" && PAGES[event.key]) { before = ""; return location.assign(PAGES[event.key]); }
  before = event.key;
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});

localTimes(document);
choose();
follow();
setInterval(left, 1000);
