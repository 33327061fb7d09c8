// The page: keeps contact with the daemon, and shows what it says.

import { Painter } from "/static/draw.js";
import { Editor } from "/static/zones.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const OPEN_MS = 4000; // for a connection to come about, and for an answer
const STALE_MS = 3000;
const SILENT_MS = 10000; // the state comes every second: a connection without it is dead, whoever noticed
const MOST_EVENTS = 20;
const STEADY = 0.1; // of a new value in a mean that is shown

const STAGES = {
  capture: "wait for camera", letterbox: "resize", invoke: "network", turned: "rotated crop",
  decode: "decode", follow: "follow", encode: "message", publish: "publish",
  look: "plan next crop",
};
const EVENTS = {
  entered: "came in", left: "left", zone_entered: "entered", zone_left: "left", posture: "", gesture: "",
  fall: "has fallen", fall_cleared: "fall is over",
};

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const painter = new Painter(canvas);
const scene = {
  frame: { width: 640, height: 480 }, bitmap: null, black: false, people: [], zones: [], draft: null,
  keypoints: [], edges: [], show: {},
};
const editor = new Editor(canvas, paint);
const means = new Map();
let socket = null;
let wait = FIRST_WAIT_MS;
let retry = 0;
let state = null;
let camera = ""; // the one that is shown
let isGone = false; // whether there is no such camera any more
let choice = "";
let frameAt = 0;
let heardAt = 0;
let owed = 0;
let saidEvents = new Set();

for (const what of ["skeletons", "boxes", "names", "zones"]) {
  const box = byId(`show-${what}`);
  scene.show[what] = box.checked;
  box.addEventListener("change", () => {
    scene.show[what] = box.checked;
    paint();
  });
}
window.addEventListener("resize", paint);
document.addEventListener("visibilitychange", comeBack);
setInterval(lookAround, 500);
connect();

function paint() {
  scene.draft = editor.draft;
  scene.zones = editor.kept;
  painter.paint(scene);
}

// Contact

function connect() {
  clearTimeout(retry);
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/live${location.pathname}`);
  socket.binaryType = "arraybuffer";
  heardAt = performance.now();
  const mine = socket;
  socket.addEventListener("message", ({ data }) => {
    if (mine !== socket) return;
    heardAt = performance.now();
    if (typeof data === "string") hear(JSON.parse(data));
    else see(data);
  });
  socket.addEventListener("close", () => mine === socket && lost());
}

// Closing waits for the other side, which a silent loss never answers.
function giveUp() {
  const dead = socket;
  lost();
  dead.close();
}

async function lost() {
  socket = null;
  owed = 0;
  say("lost", isGone ? "removed" : "no contact");
  byId("edit").disabled = !editor.draft;
  retry = setTimeout(connect, wait * (0.5 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  // Whoever has to show a token again is sent to the form; a camera may be there no more.
  const answer = await fetch(location.pathname, { method: "HEAD", signal: AbortSignal.timeout(OPEN_MS) }).catch(() => null);
  if (answer?.status === 401) location.reload();
  if (answer?.status === 404 && socket?.readyState !== WebSocket.OPEN) removed();
}

// There are links to the other cameras, or to the first one at least.
function removed() {
  isGone = true;
  say("lost", "removed");
  byId("cameras").querySelector("[aria-current]")?.remove();
  if (!byId("cameras").children.length) byId("cameras").append(linkTo("/", "live view"));
  byId("cameras").hidden = false;
  choice = "";
  scene.people = [];
  forgetPicture();
}

function say(how, text) {
  byId("contact").className = `pill ${how}`;
  byId("contact").textContent = text;
}

// A frame that was drawn is answered, and the next one comes. A page that nobody sees answers none.
function settle() {
  while (!document.hidden && owed > 0 && socket?.readyState === WebSocket.OPEN) {
    owed -= 1;
    socket.send("next");
  }
}

// Somebody looks again; a browser hardly lets a hidden page try.
function comeBack() {
  if (document.hidden) return;
  if (!socket) connect();
  settle();
}

function hear(message) {
  if (message.type === "hello") greet(message);
  else if (message.type === "state") showState(message);
  else if (message.type === "event") happen(message.event);
}

function greet(hello) {
  wait = FIRST_WAIT_MS;
  isGone = false;
  say("live", "live");
  byId("edit").disabled = false;
  byId("device").textContent = hello.device;
  if (hello.camera !== camera) begin(hello.camera);
  document.title = `${hello.camera} · ${hello.device} · posed`;
  if (hello.pictures !== canvas.dataset.pictures) forgetPicture();
  scene.keypoints = hello.keypoints;
  scene.edges = hello.edges;
  scene.black = hello.pictures === "skeleton";
  byId("frame").classList.toggle("nothing", hello.pictures === "off");
  canvas.dataset.pictures = hello.pictures;
}

// Another camera is shown at this address: the first one, if that was removed.
function begin(name) {
  camera = name;
  canvas.setAttribute("aria-label", `What the camera ${name} sees, with the people in it`);
  editor.of(name);
  state = null;
  scene.people = [];
  forgetPicture();
  means.clear();
  byId("events").replaceChildren();
  saidEvents.clear();
  byId("no-events").hidden = false;
}

function forgetPicture() {
  scene.bitmap?.close();
  scene.bitmap = null;
  paint();
}

// Frames

async function see(data) {
  const from = socket;
  const { pictures } = canvas.dataset;
  const length = new DataView(data).getUint32(0);
  const seen = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const jpeg = new Uint8Array(data, 4 + length);
  const bitmap = jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : null;
  if (from !== socket) return;
  scene.bitmap?.close();
  // What was on its way when less was allowed to be seen is not shown.
  Object.assign(scene, { frame: seen.frame, people: seen.people, bitmap: pictures === canvas.dataset.pictures ? bitmap : null });
  frameAt = performance.now();
  canvas.classList.remove("stale");
  paint();
  canvas.dataset.sequence = seen.sequence;
  average(seen.stages_ms);
  owed += 1;
  requestAnimationFrame(settle);
}

function average(stages) {
  for (const [stage, ms] of Object.entries(stages)) {
    const mean = means.get(stage);
    means.set(stage, mean === undefined ? ms : mean + STEADY * (ms - mean));
  }
}

// A picture that is not of now must not look like one.
function lookAround() {
  const silentMs = performance.now() - heardAt;
  const opening = socket?.readyState === WebSocket.CONNECTING;
  if (socket && !document.hidden && silentMs > (opening ? OPEN_MS : SILENT_MS)) giveUp();
  const stale = performance.now() - frameAt > STALE_MS;
  const silent = silentMs > STALE_MS;
  const why = reason(stale, silent);
  if (silent && socket?.readyState === WebSocket.OPEN) say("lost", "silent");
  canvas.classList.toggle("stale", stale);
  document.querySelector("aside").classList.toggle("stale", socket?.readyState !== WebSocket.OPEN || silent);
  byId("notice").hidden = !why;
  byId("notice").textContent = why;
  showStages();
}

function reason(stale, silent) {
  if (isGone) return `There is no camera ${location.pathname.slice(1)} any more.`;
  if (socket?.readyState !== WebSocket.OPEN) return "No contact with the daemon; trying again.";
  if (silent) return "The daemon sends nothing.";
  if (!state) return stale ? "Waiting for the daemon." : "";
  if (state.camera.paused) return "Paused: the camera is closed.";
  for (const [part, { status, why }] of [["camera", state.camera], ["engine", state.machine.engine]]) {
    if (status !== "ok") return `Waiting for the ${part}: ${why ?? ""}`;
  }
  if (stale) return "No picture arrives.";
  return { dark: "The picture is dark.", covered: "The camera is covered.", frozen: "The picture does not change." }[state.camera.sight] ?? "";
}

// State

function showState(now) {
  state = now;
  say("live", "live");
  const { machine: { engine, model }, camera: its } = now;
  if (!editor.draft) editor.take(its.settings.zones ?? {});
  showCameras(now.cameras);
  const size = its.width ? ` ${its.width}×${its.height}` : "";
  facts([
    ["People", its.people ?? "unknown"],
    ["Frames per second", its.fps.toFixed(1)],
    ["Latency", its.latency_ms === null ? "–" : `${its.latency_ms.toFixed(0)} ms`],
    ["Camera", `${its.kind}${size}`, its.status !== "ok" && its.status],
    ["Engine", `${engine.kind}${engine.device ? ` ${engine.device}` : ""}`, engine.status !== "ok" && engine.status],
    ["Temperature", engine.temperature_c === null ? "–" : `${engine.temperature_c.toFixed(0)} °C`],
    ["Model", model.name, model.warning],
    ["Dropped frames", its.dropped],
  ]);
}

function linkTo(address, text) {
  const link = document.createElement("a");
  link.href = address;
  link.textContent = text;
  return link;
}

// The choice of camera, with a word beside each before which somebody has fallen, or that shows nothing now.
function showCameras(words) {
  byId("cameras").hidden = Object.keys(words).length < 2;
  const now = JSON.stringify([camera, words]);
  if (now === choice) return;
  choice = now;
  const focused = document.activeElement.pathname;
  const links = Object.entries(words).map(([name, word]) => {
    const link = linkTo(`/${name}`, name);
    if (name === camera) link.setAttribute("aria-current", "page");
    if (word !== "ok") {
      const mark = document.createElement("span");
      mark.className = word;
      mark.textContent = word;
      link.append(" ", mark);
    }
    return link;
  });
  byId("cameras").replaceChildren(...links);
  links.find((link) => link.pathname === focused)?.focus({ preventScroll: true });
}

function facts(rows) {
  byId("now").replaceChildren(
    ...rows.flatMap(([name, value, warning]) => {
      const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      definition.textContent = warning ? `${value}: ${warning}` : value;
      definition.classList.toggle("warn", Boolean(warning));
      return [term, definition];
    }),
  );
}

function showStages() {
  const longest = Math.max(1, ...[...means].filter(([stage]) => stage !== "capture").map(([, ms]) => ms));
  const rows = Object.keys(STAGES).filter((stage) => means.has(stage)).map((stage) => {
    const ms = means.get(stage);
    const row = document.createElement("li");
    const [name, track, fill, value] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    row.className = stage === "capture" ? "wait" : "";
    [name.className, track.className, fill.className, value.className] = ["name", "track", "fill", "ms"];
    name.textContent = STAGES[stage];
    fill.style.width = `${Math.min(100, (100 * ms) / longest)}%`;
    value.textContent = `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
    track.append(fill);
    row.append(name, track, value);
    return row;
  });
  byId("stages").replaceChildren(...rows);
}

// Events

function happen(event) {
  if (saidEvents.has(event.id)) return; // the last ones come again with every connection
  saidEvents.add(event.id);
  const row = document.createElement("li");
  const [time, text] = [document.createElement("time"), document.createElement("span")];
  time.dateTime = event.time;
  time.textContent = new Date(event.time).toLocaleTimeString([], { hour12: false });
  text.textContent = words(event);
  text.classList.toggle("fall", event.type === "fall");
  row.append(time, text);
  byId("events").prepend(row);
  byId("no-events").hidden = true;
  while (byId("events").children.length > MOST_EVENTS) byId("events").lastChild.remove();
  saidEvents = new Set([...saidEvents].slice(-2 * MOST_EVENTS));
}

function words({ type, person, zone, detail }) {
  const who = person === null ? "Somebody" : `Person ${person}`;
  if (type === "zone_entered" || type === "zone_left") return `${who} ${EVENTS[type]} ${zone}`;
  const what = { posture: detail.posture, gesture: detail.gesture }[type] ?? EVENTS[type] ?? type;
  const where = zone ? ` (${zone})` : "";
  return `${who}: ${String(what).replaceAll("_", " ")}${where}${detail.test ? ", a test" : ""}`;
}
