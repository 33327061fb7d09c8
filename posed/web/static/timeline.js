// The timeline: for each camera the day as a band, what it comes to in a sentence, and the events in it.

import { button, byId, clock, day, el, folder, kept, texts } from "./dom.js";

const NIGHT = { begin: -3, end: 9 }; // from 21:00 of the day before to 9:00
const REFRESH_MS = 30e3;
const SOON_MS = 1200; // after an event: until the band knows of it, too
const MOST_EVENTS = 500;
const MARKS = 6;

const GROUPS = {
	fall: ["fall", "fall_cleared"],
	presence: ["entered", "left"],
	posture: ["posture"],
	zone: ["zone_entered", "zone_left"],
	gesture: ["gesture"],
};
const KINDS = ["empty", "somebody", "lying", "fall", "blind", "paused", "off"];
const UP_GAP_S = 60; // somebody who is away for less than this is not up once more

export class Timeline {
	constructor() {
		this.cameras = [];
		this.camera = "";
		this.days = null;
		this.range = "day";
		this.back = 0; // so many days before today
		this.live = []; // events since the page is open, newest first, for daemons that keep none
		this.shown = new Set((kept.get("events") ?? Object.keys(GROUPS).join()).split(","));
		this.draw();
		setInterval(() => !document.hidden && this.back === 0 && this.load(), REFRESH_MS);
	}

	greet({ camera, timeline_days: days }) {
		this.camera = camera;
		this.days = days;
		this.load();
	}

	happened(event) {
		if (this.live.some(({ id }) => id === event.id)) return; // the last ones come again with every connection
		this.live.unshift({ ...event, time: Date.parse(event.time) / 1000 });
		this.live.length = Math.min(this.live.length, MOST_EVENTS);
		clearTimeout(this.soon);
		if (!document.hidden && this.back === 0) this.soon = setTimeout(() => this.load(), SOON_MS);
	}

	// From when until when is shown, ms since 1970.
	get span() {
		const midnight = new Date();
		midnight.setHours(0, 0, 0, 0);
		midnight.setDate(midnight.getDate() - this.back);
		const at = (hours) => new Date(midnight).setHours(hours);
		return this.range === "day" ? [at(0), at(24)] : [at(NIGHT.begin), at(NIGHT.end)];
	}

	// The page's frame, once
	draw() {
		const root = byId("timeline");
		const go = (range, back) => () => {
			this.range = range;
			this.back = back();
			this.load();
		};
		const step = (by) => () => {
			this.back = Math.max(0, Math.min((this.days ?? 1) - 1, this.back + by));
			this.load();
		};
		this.buttons = {
			day: button(texts.today, go("day", () => 0)),
			night: button(texts.night, go("night", () => 0)),
			earlier: button("‹", step(1), { "aria-label": texts.earlier, title: texts.earlier }),
			later: button("›", step(-1), { "aria-label": texts.later, title: texts.later }),
		};
		this.when = el("p", { className: "when", "aria-live": "polite" });
		this.bands = el("div", { id: "bands" });
		this.said = el("ul", { id: "said" });
		this.list = el("ol", { id: "events" });
		this.rest = el("p", { className: "quiet" });
		this.controls = el("div", { className: "bar" }, Object.values(this.buttons));
		const filters = Object.keys(GROUPS).map((group) => {
			const box = el("input", { type: "checkbox", id: `event-${group}`, checked: this.shown.has(group) });
			box.addEventListener("change", () => {
				if (box.checked) this.shown.add(group);
				else this.shown.delete(group);
				kept.set("events", [...this.shown].join());
				this.load();
			});
			return el("label", {}, box, texts.groups[group]);
		});
		root.replaceChildren(
			el("h2", { id: "timeline-title" }, texts.timeline),
			this.controls,
			this.when,
			this.said,
			this.bands,
			el("h3", {}, texts.events),
			el("div", { className: "bar filters" }, filters),
			this.list,
			this.rest,
		);
	}

	async load() {
		if (this.days === null) return;
		this.showButtons();
		if (this.days === 0) {
			this.showEvents(this.live.filter(({ type }) => this.types.includes(type)), false);
			this.rest.textContent = texts.timelineOff;
			return;
		}
		const [begin, end] = this.span;
		const query = new URLSearchParams({ from: begin / 1000, to: end / 1000 });
		if (this.camera) query.set("camera", this.camera);
		query.set("types", this.types.join(",") || "fall");
		const mine = (this.asked = Symbol("asked"));
		let answer;
		try {
			const response = await fetch(new URL(`api/timeline?${query}`, folder));
			if (!response.ok) throw new Error((await response.text()).trim());
			answer = await response.json();
		} catch (error) {
			this.rest.textContent = texts.timelineFailed(error instanceof TypeError ? texts.noContact : error.message);
			return;
		}
		if (mine !== this.asked) return; // something else has been asked for meanwhile
		this.showBands(answer);
		this.showEvents(this.types.length ? answer.events : [], answer.more);
		if (!Object.keys(answer.bands).length && !answer.events.length) this.rest.textContent = "";
	}

	get types() {
		return Object.entries(GROUPS).flatMap(([group, types]) => (this.shown.has(group) ? types : []));
	}

	showButtons() {
		const keeps = this.days > 0;
		this.controls.hidden = !keeps;
		this.when.hidden = this.said.hidden = this.bands.hidden = !keeps;
		for (const [range, element] of Object.entries({ day: this.buttons.day, night: this.buttons.night })) {
			element.setAttribute("aria-pressed", String(this.range === range && this.back === 0));
		}
		this.buttons.later.disabled = this.back === 0;
		this.buttons.earlier.disabled = this.back >= (this.days ?? 1) - 1;
		const [begin, end] = this.span;
		const when = this.range === "day" ? day(begin) : texts.ranges(`${day(begin)}, ${clock(begin)}`, clock(end));
		if (when !== this.when.textContent) this.when.textContent = when; // or it is read out each time
	}

	showBands({ bands, falls }) {
		const [begin, end] = this.span.map((ms) => ms / 1000);
		const order = [...this.cameras, ...Object.keys(bands)].filter((name, index, all) => bands[name] && all.indexOf(name) === index);
		const rows = order.filter((name) => !this.camera || name === this.camera).map((name) => [name, bands[name], sentence(name, bands[name], falls[name])]);
		this.said.replaceChildren(
			...(rows.length ? rows.map(([, , said]) => el("li", {}, said)) : [el("li", {}, texts.nothingKept)]),
		);
		this.bands.replaceChildren(
			...rows.flatMap(([name, spans, said]) => [
				el("span", { className: "of" }, texts.name(name)),
				el("div", { className: "band", role: "img", "aria-label": said }, spans.map((span) => piece(span, begin, end))),
			]),
			...(rows.length ? [el("span", { className: "of" }), el("div", { className: "hours", "aria-hidden": "true" }, this.hours(begin, end))] : []),
			legend(),
		);
	}

	hours(begin, end) {
		const step = (end - begin) / MARKS;
		return Array.from({ length: MARKS + 1 }, (_, index) => el("span", {}, clock((begin + index * step) * 1000)));
	}

	showEvents(events, more) {
		this.list.replaceChildren(
			...events.map((event) =>
				el(
					"li",
					{ className: event.type === "fall" && !event.detail.test ? "fall" : "" },
					el("time", { dateTime: new Date(event.time * 1000).toISOString() }, clock(event.time * 1000)),
					el("span", {}, texts.event(event)),
				),
			),
		);
		this.rest.textContent = more ? texts.moreEvents(events.length) : events.length ? "" : texts.noEvents;
	}
}

function piece([from, to, kind], begin, end) {
	const left = (100 * (from - begin)) / (end - begin);
	const width = (100 * (to - from)) / (end - begin);
	const element = el("i", { className: kind, title: texts.bandTitle(texts.kinds[kind], clock(from * 1000), clock(to * 1000)) });
	element.style.left = `${left}%`;
	element.style.width = `max(${kind === "fall" ? 4 : 1}px, ${width}%)`;
	return element;
}

function legend() {
	return el("ul", { className: "legend" }, KINDS.map((kind) => el("li", {}, el("i", { className: kind }), texts.kinds[kind])));
}

// What a band comes to: how long each kind lasted, s, how many falls there were, and how often somebody got up.
function sentence(camera, spans, falls = 0) {
	const lasted = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
	const began = { fall: falls, up: 0 };
	let downUntil = -Infinity; // when somebody was last seen lying
	let upUntil = -Infinity;
	for (const [from, to, kind] of spans) {
		lasted[kind] += to - from;
		if (kind === "lying") downUntil = to;
		if (kind === "somebody") {
			if (downUntil > upUntil && from - upUntil > UP_GAP_S) began.up += 1;
			upUntil = to;
		}
	}
	return texts.timelineSaid(camera, lasted, began);
}

