// The page: brings together what the daemon says and what is shown of it.

import { noteFall, showAlerts, sound } from "./alerts.js";
import { Contact } from "./contact.js";
import { asked, button, byId, el, kept, texts } from "./dom.js";
import { Painter } from "./draw.js";
import { forgetStages, noteStages, showFigures } from "./figures.js";
import { showChoice, showTiles } from "./overview.js";
import { Setup } from "./setup.js";
import { Timeline } from "./timeline.js";

const STALE_MS = 3000;

const canvas = byId("canvas");
const painter = new Painter(canvas);
const scene = {
	frame: { width: 640, height: 480 }, bitmap: null, outline: false, pitch: null, people: [], zones: [], draft: null,
	keypoints: [], edges: [], show: {},
};
let hello = null;
let state = null;
let camera = null; // the one that is shown; "" for all of them
let frameAt = 0;

const setup = new Setup({ canvas, paint });
const timeline = new Timeline();
const contact = new Contact({ hear, see, changed: lookAround });
drawControls();
sound.start();
window.addEventListener("resize", paint);
document.addEventListener("visibilitychange", paint);

function paint() {
	scene.draft = setup.draft;
	scene.zones = setup.zones;
	if (camera) painter.paint({ ...scene, bitmap: scene.bitmap ?? setup.still });
}

function drawControls() {
	for (const what of ["skeletons", "boxes", "names", "zones"]) {
		const box = el("input", { type: "checkbox", id: `show-${what}`, checked: kept.get(`show ${what}`) !== "off" });
		scene.show[what] = box.checked;
		box.addEventListener("change", () => {
			scene.show[what] = box.checked;
			kept.set(`show ${what}`, box.checked ? null : "off");
			paint();
		});
		byId("shown").append(el("label", {}, box, texts.show[what]));
	}
	const open = button(texts.setUp, () => setup.toggle(), { id: "edit", "aria-expanded": "false", "aria-controls": "setup" });
	byId("shown").append(open);
	const figures = button(texts.figures, () => {
		byId("figures").hidden = !byId("figures").hidden;
		figures.textContent = byId("figures").hidden ? texts.figures : texts.hideFigures;
		figures.setAttribute("aria-expanded", String(!byId("figures").hidden));
		if (state) showFigures(state);
	}, { id: "show-figures", "aria-expanded": "false", "aria-controls": "figures" });
	byId("more").append(figures);
	byId("cameras").setAttribute("aria-label", texts.camerasTitle);
	byId("tiles").setAttribute("aria-label", texts.camerasTitle);
}

// What the daemon says

function hear(message) {
	if (message.type === "hello") greet(message);
	else if (message.type === "state") showState(message);
	else if (message.type === "event") {
		noteFall(message.event);
		timeline.happened(message.event);
	}
}

function greet(message) {
	hello = message;
	byId("device").textContent = hello.device;
	if (hello.camera !== camera) begin(hello.camera);
	if (hello.pictures !== canvas.dataset.pictures) forgetPicture();
	scene.keypoints = hello.keypoints;
	scene.edges = hello.edges;
	scene.outline = hello.pictures === "off";
	canvas.dataset.pictures = hello.pictures;
	byId("no-picture").hidden = hello.pictures !== "off";
	byId("no-picture").textContent = texts.noPicture;
	setup.greet(hello);
	timeline.greet(hello);
	paint();
}

// Another camera is shown at this address than before, or all of them.
function begin(name) {
	camera = name;
	byId("camera").hidden = !name;
	byId("tiles").hidden = Boolean(name);
	canvas.setAttribute("aria-label", texts.picture(name));
	scene.people = [];
	forgetPicture();
	forgetStages();
	byId("title").textContent = texts.title(name, hello.device);
}

function forgetPicture() {
	scene.bitmap?.close();
	scene.bitmap = null;
	paint();
}

async function see(data) {
	const from = contact.socket;
	const { pictures } = canvas.dataset;
	const length = new DataView(data).getUint32(0);
	const seen = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
	const jpeg = new Uint8Array(data, 4 + length);
	const bitmap = jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : null;
	if (from !== contact.socket) return;
	scene.bitmap?.close();
	// What was on its way when less was allowed to be seen is not shown.
	Object.assign(scene, { frame: seen.frame, people: seen.people, bitmap: pictures === canvas.dataset.pictures ? bitmap : null });
	frameAt = performance.now();
	canvas.classList.remove("stale");
	paint();
	setup.see(scene);
	canvas.dataset.sequence = seen.sequence;
	noteStages(seen.stages_ms);
	contact.drawn();
}

function showState(now) {
	state = now;
	scene.pitch = camera ? (state.cameras[camera]?.pitch_deg ?? null) : null;
	if (camera && state.camera) setup.take(state);
	if (!camera) showTiles(state, scene);
	timeline.cameras = Object.keys(state.cameras);
	if (!byId("figures").hidden) showFigures(state);
	lookAround();
}

// A picture that is not of now must not look like one.
function lookAround() {
	const status = contact.status;
	byId("contact").className = `pill ${status === "live" ? "live" : "lost"}`;
	byId("contact").textContent = texts[status];
	showAlerts(state, status, camera);
	if (state) showChoice(state, status === "removed" ? asked : camera);
	const fallen = state?.falls.map((fall) => fall.camera) ?? [];
	document.title = fallen.length ? texts.titleOfFall([...new Set(fallen)]) : texts.title(camera ?? asked, hello?.device ?? "posed");
	document.body.classList.toggle("old", status !== "live");
	if (!camera) return;
	const stale = performance.now() - frameAt > STALE_MS;
	canvas.classList.toggle("stale", stale);
	if (status === "removed") Object.assign(scene, { people: [] }), forgetPicture();
	const glance = state?.cameras[camera];
	const isExplained = status !== "live" || (glance && (glance.status !== "ok" || glance.paused || state.machine.engine.status !== "ok"));
	const isAbove = isExplained && byId("setup").hidden; // with the set-up open, what is above is out of sight
	byId("notice").hidden = !stale || isAbove;
	byId("notice").textContent = status !== "live" ? texts[status] : state ? texts.noFrames : texts.waitingFor;
}
