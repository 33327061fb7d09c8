// What matters, first: falls in red, what keeps posed from seeing in amber, else one calm line.

import { ask, asked, button, byId, clock, el, folder, kept, renew, texts } from "./dom.js";
import { posturesOf, sightOf } from "./overview.js";

const BEEP_EVERY_MS = 3000;
const TONES_HZ = [880, 660];
const TONE_S = 0.25;

// Falls of which the page knows more than that they are not over: `detail` of their events, by id.
const details = new Map();
const lookedUp = new Set();
const sections = new Map();
let before = null; // falls that have been told already, by id
let cared = null; // the fall that the dialog is about

export function noteFall(event) {
	if (event.type === "fall") details.set(event.id, event.detail);
}

// `state` is the daemon's last, `contact` how contact is, `camera` the one that is shown.
export function showAlerts(state, contact, camera) {
	const falls = state?.falls ?? [];
	showFalls(falls, state, camera, contact);
	showNotices(state, contact);
	showSummary(state, contact, falls);
	sound.needed = falls.length > 0;
	byId("favicon").href = new URL(`static/icon${falls.length ? "-fall" : ""}.svg`, folder);
	if (state) tell(falls);
}

// Falls

// Each has its section for as long as it is open, so that what somebody is about to press stays where it is.
function showFalls(falls, state, camera, contact) {
	const open = new Set(falls.map(({ event }) => event));
	for (const [event, { section }] of sections) if (!open.has(event)) section.remove(), sections.delete(event);
	for (const fall of falls) {
		if (!sections.has(fall.event)) sections.set(fall.event, makeSection(fall));
		const { section, about, look } = sections.get(fall.event);
		if (!section.isConnected) byId("falls").append(section);
		const glance = state.cameras[fall.camera];
		look.hidden = !glance || camera === fall.camera;
		const said = saidOf(fall, glance, contact);
		renew(about, said, () => said.map((text) => el("p", {}, text)));
	}
}

function saidOf(fall, glance, contact) {
	const said = [texts.fallSince(clock(fall.since), Math.max(0, (Date.now() - Date.parse(fall.since)) / 1000))];
	if (details.has(fall.event)) said.push(texts.fallRests(details.get(fall.event)));
	else lookUp(fall);
	if (contact === "live") said.push(texts.fallNow(glance ? posturesOf(glance) : null));
	return said;
}

function makeSection(fall) {
	const about = el("div", { className: "about" });
	const look = el("a", { href: new URL(fall.camera, folder), className: "look" }, texts.fallLook);
	const care = button(texts.fallCare, () => confirmCare(fall), { className: "care" });
	const title = el("h2", {}, texts.fall(fall.camera, fall.zone));
	return { section: el("section", { className: "fall" }, title, about, el("div", { className: "bar" }, care, look)), about, look };
}

// The event of a fall that is older than this page.
async function lookUp(fall) {
	if (lookedUp.has(fall.event)) return;
	lookedUp.add(fall.event);
	const at = Date.parse(fall.since) / 1000;
	const query = new URLSearchParams({ from: at - 600, to: at + 600, camera: fall.camera, types: "fall" });
	const answer = await fetch(new URL(`api/timeline?${query}`, folder)).catch(() => null);
	if (!answer?.ok) {
		setTimeout(() => lookedUp.delete(fall.event), BEEP_EVERY_MS);
		return;
	}
	for (const event of (await answer.json()).events) noteFall(event);
}

function confirmCare(fall) {
	confirm({
		about: fall,
		title: texts.fallConfirm(fall.camera),
		text: texts.fallConfirmText,
		yes: texts.fallYes,
		no: texts.fallNo,
		work: () => ask("clear_fall", { camera: fall.camera, event: fall.event }),
	});
}

// Asks before something is done, and says why it was not.
export function confirm({ title, text, yes, no, work, about = null }) {
	const dialog = byId("dialog");
	cared = about;
	const problem = el("p", { className: "problem", role: "alert" });
	const doIt = button(yes, async () => {
		doIt.disabled = true;
		const { error } = await work();
		doIt.disabled = false;
		if (error) problem.textContent = error;
		else dialog.close();
	}, { className: "main" });
	dialog.replaceChildren(
		el("h2", { id: "dialog-title" }, title),
		el("p", {}, text),
		problem,
		el("div", { className: "bar" }, doIt, button(no, () => dialog.close(), { autofocus: true })),
	);
	dialog.showModal();
}

// New falls are told to whoever hears the page and does not see it, once each, and so is their end.
function tell(falls) {
	const now = new Map(falls.map((fall) => [fall.event, fall]));
	const begun = falls.filter(({ event }) => !before?.has(event));
	const ended = [...(before?.values() ?? [])].filter(({ event }) => !now.has(event));
	before = now;
	if (begun.length) byId("alarm").textContent = begun.map(({ camera }) => texts.alarm(camera)).join(" ");
	else if (!falls.length) byId("alarm").textContent = "";
	if (begun.length) scrollTo(0, 0); // whatever else is set up or looked at
	if (!ended.length) return;
	byId("word").textContent = ended.map(({ camera }) => texts.alarmOver(camera)).join(" ");
	if (ended.some(({ event }) => event === cared?.event)) byId("dialog").close();
}

// What keeps posed from seeing

function showNotices(state, contact) {
	const rows = notices(state, contact);
	renew(byId("notices"), rows.map(({ text }) => text), () =>
		rows.map(({ text, action }) =>
			el("section", { className: "notice" }, el("p", {}, text), action ? button(action.text, action.work) : null),
		),
	);
}

function notices(state, contact) {
	if (contact === "removed") return [{ text: texts.noticeRemoved(asked) }];
	if (contact === "lost") return [{ text: texts.noticeLost }];
	if (contact === "silent") return [{ text: texts.noticeSilent }];
	if (!state) return [];
	const rows = [];
	const { engine, model } = state.machine;
	if (engine.status !== "ok") rows.push({ text: texts.noticeEngine(engine.why) });
	if (!state.broker) rows.push({ text: texts.noticeBroker });
	for (const [name, glance] of Object.entries(state.cameras)) {
		const sight = sightOf(glance);
		if (sight === "paused") {
			rows.push({ text: texts.noticePaused(name), action: { text: texts.resume, work: () => ask("resume", { camera: name }) } });
		} else if (sight === "waiting") {
			rows.push({ text: texts.noticeWaiting(name, glance.why ?? "") });
		} else if (sight === "starting") {
			rows.push({ text: texts.noticeStarting(name, glance.why) });
		} else if (sight !== "ok") {
			rows.push({ text: texts.noticeSight[sight](name) });
		}
	}
	if (model.warning) rows.push({ text: texts.noticeModel(model.name, model.warning) });
	return rows;
}

function showSummary(state, contact, falls) {
	const isNow = state && (contact === "live" || contact === "connecting");
	const counts = Object.entries(state?.cameras ?? {}).filter(([, { people }]) => people !== null).map(([name, { people }]) => [name, people]);
	byId("summary").hidden = falls.length > 0;
	byId("summary").textContent = isNow ? texts.summary(counts) : contact === "connecting" ? texts.waitingFor : "";
}

// Sound, as long as somebody lies fallen. Browsers allow it once somebody has touched the page.

class Sound {
	needed = false;

	start() {
		this.wanted = kept.get("sound") === "on";
		byId("sound").addEventListener("click", () => this.toggle());
		byId("sound").title = texts.soundHint;
		for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => this.wanted && this.open());
		if (this.wanted) this.open();
		setInterval(() => this.needed && this.beep(), BEEP_EVERY_MS);
		this.show();
	}

	toggle() {
		this.wanted = !this.wanted;
		kept.set("sound", this.wanted ? "on" : null);
		if (this.wanted) this.open().then(() => this.beep());
		this.show();
	}

	async open() {
		this.context ??= new AudioContext();
		this.context.onstatechange = () => this.show();
		await this.context.resume();
		this.show();
	}

	show() {
		const works = this.wanted && this.context?.state === "running";
		byId("sound").textContent = !this.wanted ? texts.soundOff : works ? texts.soundOn : texts.soundWaits;
		byId("sound").setAttribute("aria-pressed", String(this.wanted));
	}

	beep() {
		if (!this.wanted || this.context?.state !== "running") return;
		this.beeps = (this.beeps ?? 0) + 1;
		byId("sound").dataset.beeps = this.beeps;
		TONES_HZ.forEach((hz, index) => {
			const [tone, volume] = [this.context.createOscillator(), this.context.createGain()];
			const at = this.context.currentTime + index * TONE_S;
			tone.frequency.value = hz;
			volume.gain.setValueAtTime(0.3, at);
			volume.gain.exponentialRampToValueAtTime(0.001, at + TONE_S);
			tone.connect(volume).connect(this.context.destination);
			tone.start(at);
			tone.stop(at + TONE_S);
		});
	}
}

export const sound = new Sound();
