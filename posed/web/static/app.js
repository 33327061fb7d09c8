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
  socket = new WebSocket(`${scheme}//${location.host}/live`);
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
  say("lost", "no contact");
  byId("edit").disabled = !editor.draft;
  retry = setTimeout(connect, wait * (0.5 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  // Whoever has to show a token again is sent to the form.
  const answer = await fetch("/", { method: "HEAD", signal: AbortSignal.timeout(OPEN_MS) }).catch(() => null);
  if (answer?.status === 401) location.reload();
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
  else if (message.type === "state") showState(message.state);
  else if (message.type === "event") happen(message.event);
}

function greet(hello) {
  wait = FIRST_WAIT_MS;
  say("live", "live");
  byId("edit").disabled = false;
  byId("device").textContent = hello.device;
  document.title = `${hello.device} · posed`;
  scene.keypoints = hello.keypoints;
  scene.edges = hello.edges;
  scene.black = hello.pictures === "skeleton";
  byId("frame").classList.toggle("nothing", hello.pictures === "off");
  canvas.dataset.pictures = hello.pictures;
}

// Frames

async function see(data) {
  const from = socket;
  const length = new DataView(data).getUint32(0);
  const seen = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const jpeg = new Uint8Array(data, 4 + length);
  const bitmap = jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : null;
  if (from !== socket) return;
  scene.bitmap?.close();
  Object.assign(scene, { frame: seen.frame, people: seen.people, bitmap });
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
  if (socket?.readyState !== WebSocket.OPEN) return "No contact with the daemon; trying again.";
  if (silent) return "The daemon sends nothing.";
  if (!state) return stale ? "Waiting for the daemon." : "";
  if (state.paused) return "Paused: the camera is closed.";
  for (const part of ["camera", "engine"]) {
    if (state[part].status !== "ok") return `Waiting for the ${part}: ${state[part].why ?? ""}`;
  }
  if (stale) return "No picture arrives.";
  return { dark: "The picture is dark.", covered: "The camera is covered.", frozen: "The picture does not change." }[state.camera.sight] ?? "";
}

// State

function showState(now) {
  state = now;
  say("live", "live");
  if (!editor.draft) editor.take(now.settings["people.zones"] ?? {});
  const { camera, engine, model } = now;
  const size = camera.width ? ` ${camera.width}×${camera.height}` : "";
  facts([
    ["People", now.people ?? "unknown"],
    ["Frames per second", now.fps.toFixed(1)],
    ["Latency", now.latency_ms === null ? "–" : `${now.latency_ms.toFixed(0)} ms`],
    ["Camera", `${camera.kind}${size}`, camera.status !== "ok" && camera.status],
    ["Engine", `${engine.kind}${engine.device ? ` ${engine.device}` : ""}`, engine.status !== "ok" && engine.status],
    ["Temperature", engine.temperature_c === null ? "–" : `${engine.temperature_c.toFixed(0)} °C`],
    ["Model", model.name, model.warning],
    ["Dropped frames", now.dropped.camera],
  ]);
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
