// Zones drawn and changed with a mouse, a finger or the keys. The daemon judges them.

import { ask, button, byId, el, texts } from "./dom.js";
import { colourOf } from "./draw.js";

const words = texts.setup;

const MOUSE_REACH_PX = 12;
const FINGER_REACH_PX = 22; // a finger hits what is 44 px wide
const STEP = 0.01;
const LARGE_STEP = 0.05;
const FIRST_SQUARE = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
const byName = (zones) => new Map(zones.map(({ name, polygon, kind, anchor }) => [name.trim(), { polygon, kind, anchor }]));
const differ = (one, other) => JSON.stringify(one) !== JSON.stringify(other);
// Whatever the order: JavaScript puts names like `1` first.
const zonesDiffer = (...both) => differ(...both.map((zones) => [...zones].sort()));

export class Editor {
	// `changed` is called when there is something to draw anew.
	constructor(canvas, changed) {
		Object.assign(this, { canvas, changed, draft: null, kept: [], camera: "" });
		canvas.addEventListener("pointerdown", (event) => this.press(event));
		canvas.addEventListener("pointermove", (event) => this.drag(event));
		for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.release());
		canvas.addEventListener("keydown", (event) => this.key(event));
	}

	// The list of zones, with what belongs to it, and `more` before what stays in view.
	panel(more) {
		const bar = (...buttons) => el("div", { className: "bar" }, buttons);
		return [
			el("p", { id: "hint", className: "quiet" }),
			bar(
				button(words.newZone, (event) => this.add(event.detail === 0), { id: "add" }),
				button(words.addCorner, () => this.insertCorner(), { id: "add-corner" }),
				button(words.removeCorner, () => this.removeCorner(), { id: "remove-corner" }),
			),
			el("ul", { id: "zones", "aria-label": words.parts.zones }),
			el("p", { id: "keys", className: "quiet" }, words.keys),
			more,
			el("div", { id: "keep" },
				el("p", { id: "zone-word", className: "quiet", role: "status" }),
				el("p", { id: "problem", className: "problem", role: "alert" }),
				bar(
					button(words.save, () => this.save(), { id: "save", className: "main" }),
					button(words.finish, () => this.finish(), { id: "finish" }),
					button(words.discard, () => this.begin(), { id: "discard" }),
				)),
		];
	}

	// Whose zones these are.
	of(camera) {
		this.camera = camera;
		this.kept = [];
		if (this.draft) this.begin();
	}

	// What the daemon has, by name. What is being changed here stays.
	take(zones) {
		this.kept = Object.entries(zones).map(([name, zone]) => ({ name, ...zone }));
		if (this.draft && !this.isChanged && zonesDiffer(this.draft.before, byName(this.kept))) this.begin();
	}

	get isChanged() {
		return this.draft !== null && zonesDiffer(this.draft.before, byName(this.draft.zones));
	}

	begin() {
		const zones = structuredClone(this.kept).map((zone, colour) => ({ ...zone, colour }));
		const selected = Math.max(0, zones.findIndex(({ name }) => name === this.zone?.name));
		this.draft = { zones, before: byName(this.kept), selected, corner: -1, drawing: false };
		this.say("");
		this.show();
	}

	leave() {
		this.draft = this.dragged = null;
		this.changed();
	}

	// By keyboard a zone begins as a square whose corners are moved; else its corners are tapped.
	add(byKeyboard) {
		if (this.draft.drawing && !this.finish()) return;
		const { zones } = this.draft;
		const free = (is) => [...zones.keys(), zones.length].find((index) => !zones.some((zone) => is(zone, index)));
		zones.push({
			name: `zone_${free((zone, index) => zone.name === `zone_${index + 1}`) + 1}`,
			polygon: byKeyboard ? structuredClone(FIRST_SQUARE) : [],
			kind: "normal",
			anchor: "feet",
			colour: free((zone, index) => zone.colour === index),
		});
		Object.assign(this.draft, { selected: zones.length - 1, corner: byKeyboard ? 0 : -1, drawing: !byKeyboard });
		this.say("");
		this.show();
		this.reveal();
		if (!byKeyboard) return;
		this.canvas.focus();
		this.sayWhere();
	}

	// A zone of fewer than three corners is none yet.
	finish() {
		if (this.zone.polygon.length < 3) {
			this.say(words.threeCorners);
			return false;
		}
		this.draft.drawing = false;
		this.say("", words.closed(this.zone.name, this.zone.polygon.length));
		this.show();
		this.reveal();
		return true;
	}

	remove(zone) {
		const { draft, zone: chosen } = this;
		draft.zones = draft.zones.filter((one) => one !== zone);
		if (zone === chosen) Object.assign(draft, { selected: Math.min(draft.selected, draft.zones.length - 1), corner: -1, drawing: false });
		else draft.selected = draft.zones.indexOf(chosen);
		this.say("", words.removed(zone.name));
		this.show();
		if (document.activeElement === document.body) byId("add").focus();
	}

	// After the chosen corner, halfway to the next one.
	insertCorner() {
		const { draft, zone } = this;
		if (!zone || draft.drawing) return;
		const { polygon } = zone;
		const at = Math.max(draft.corner, 0);
		const next = polygon[(at + 1) % polygon.length];
		polygon.splice(at + 1, 0, polygon[at].map((value, axis) => within((value + next[axis]) / 2)));
		this.choose(draft.selected, at + 1);
	}

	removeCorner() {
		const { draft, zone } = this;
		if (!zone || draft.corner < 0) return;
		if (!draft.drawing && zone.polygon.length <= 3) return this.say(words.threeCorners);
		zone.polygon.splice(draft.corner, 1);
		this.choose(draft.selected, Math.min(draft.corner, zone.polygon.length - 1));
	}

	get zone() {
		return this.draft?.zones[this.draft.selected];
	}

	// A zone, and one of its corners or (-1) all of it.
	choose(selected, corner) {
		Object.assign(this.draft, { selected, corner });
		this.mark();
		this.say("");
		this.sayWhere();
		this.changed();
	}

	// By keys

	key(event) {
		const { draft, zone } = this;
		if (!draft || event.ctrlKey || event.altKey || event.metaKey) return;
		const corners = zone?.polygon.length ?? 0;
		const turn = (by) => corners && this.choose(draft.selected, (Math.max(draft.corner, by > 0 ? -1 : 0) + by + corners) % corners);
		const change = (by) => !draft.drawing && draft.zones.length && this.choose((draft.selected + by + draft.zones.length) % draft.zones.length, -1);
		const work = {
			n: () => turn(1),
			p: () => turn(-1),
			pagedown: () => change(1),
			pageup: () => change(-1),
			insert: () => this.insertCorner(),
			"+": () => this.insertCorner(),
			delete: () => this.removeCorner(),
			backspace: () => this.removeCorner(),
			enter: () => draft.drawing && this.finish(),
			escape: () => this.escape(),
		}[event.key.toLowerCase()];
		const arrow = ARROWS[event.key];
		if (!work && !arrow) return;
		event.preventDefault();
		if (arrow) this.step(arrow.map((way) => way * (event.shiftKey ? LARGE_STEP : STEP)));
		else work();
		this.reveal();
	}

	escape() {
		if (this.draft.drawing) this.remove(this.zone);
		else if (this.draft.corner >= 0) this.choose(this.draft.selected, -1);
		else byId("save").focus();
	}

	step(by) {
		const { draft, zone } = this;
		if (!zone?.polygon.length) return;
		if (draft.corner < 0) zone.polygon = moved(zone.polygon, by);
		else [zone.polygon[draft.corner]] = moved([zone.polygon[draft.corner]], by);
		this.sayWhere();
		this.changed();
	}

	// By mouse and finger

	// Fractions of the frame, never outside it.
	place(event) {
		const box = this.canvas.getBoundingClientRect();
		return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
	}

	press(event) {
		if (!this.canvas.matches(".editing") || event.button > 0 || !event.isPrimary) return;
		event.preventDefault();
		this.canvas.focus({ preventScroll: true });
		this.canvas.setPointerCapture(event.pointerId);
		const place = this.place(event);
		const distance = this.distances(place, event);
		if (this.draft.drawing) this.extend(place, distance);
		else this.grab(place, distance);
	}

	extend(place, distance) {
		const { polygon } = this.zone;
		if (polygon.length > 2 && distance(polygon[0]) <= 1) return this.finish();
		if (polygon.some((corner) => !differ(corner, place))) return;
		polygon.push(place);
		this.dragged = { corner: polygon.length - 1 };
		this.choose(this.draft.selected, polygon.length - 1);
	}

	// A corner of the chosen zone, else the middle of one of its sides, else a zone.
	grab(place, distance) {
		const { draft } = this;
		const polygon = this.zone?.polygon ?? [];
		let corner = nearest(polygon, distance);
		if (corner < 0) {
			const side = nearest(middles(polygon), distance);
			if (side >= 0) polygon.splice((corner = side + 1), 0, place);
		}
		if (corner >= 0) {
			this.dragged = { corner };
			return this.choose(draft.selected, corner);
		}
		const found = this.zone && inside(polygon, place) ? draft.selected : draft.zones.findLastIndex((zone) => inside(zone.polygon, place));
		if (found >= 0) this.dragged = { from: place, polygon: structuredClone(draft.zones[found].polygon) };
		this.choose(found, -1);
	}

	// How far a point is from what was pressed: 1 is as far as that reaches.
	distances([left, top], { pointerType }) {
		const { clientWidth, clientHeight } = this.canvas;
		const reach = pointerType === "mouse" ? MOUSE_REACH_PX : FINGER_REACH_PX;
		return ([x, y]) => Math.hypot((x - left) * clientWidth, (y - top) * clientHeight) / reach;
	}

	drag(event) {
		if (!this.dragged) return;
		const place = this.place(event);
		const { corner, from, polygon } = this.dragged;
		if (corner === undefined) this.zone.polygon = moved(polygon, [place[0] - from[0], place[1] - from[1]]);
		else this.zone.polygon[corner] = place;
		this.changed();
	}

	release() {
		if (!this.dragged) return;
		this.dragged = null;
		this.sayWhere();
		this.reveal(); // not before: the picture stays where it is under a finger
	}

	// Kept

	// What others have kept meanwhile stays; no two are called the same.
	async save() {
		const { draft } = this;
		if (draft.drawing && !this.finish()) return;
		const mine = structuredClone(byName(draft.zones));
		const { before } = draft;
		const zones = byName(this.kept);
		for (const name of before.keys()) if (!mine.has(name)) zones.delete(name);
		const isOthers = (name) => !before.has(name) && zones.has(name) && differ(zones.get(name), mine.get(name));
		const names = draft.zones.map(({ name }) => name.trim());
		const twice = names.find((name, index) => names.indexOf(name) < index || isOthers(name));
		if (twice !== undefined) return this.say(words.twice(twice));
		this.say("");
		for (const [name, zone] of mine) if (differ(zone, before.get(name))) zones.set(name, zone);
		const settings = { zones: Object.fromEntries(zones) };
		const { error } = await ask("set", { camera: this.camera, settings, persist: true });
		if (this.draft !== draft) return;
		if (error) return this.say(error);
		draft.before = mine;
		this.take(settings.zones);
		this.say("", words.saved);
	}

	// Said and shown

	reveal() {
		byId("zones").children[this.draft.selected]?.scrollIntoView({ block: "nearest" });
	}

	say(problem, word = "") {
		byId("problem").textContent = problem;
		byId("zone-word").textContent = word;
	}

	sayWhere() {
		const { draft, zone } = this;
		if (!zone?.polygon.length) return;
		const [x, y] = zone.polygon[Math.max(draft.corner, 0)];
		byId("zone-word").textContent = words.where(zone.name, draft.corner + 1, zone.polygon.length, x, y);
	}

	show() {
		this.dragged = null;
		byId("zones").replaceChildren(...this.draft.zones.map((zone) => this.row(zone)));
		this.mark();
		this.changed();
	}

	// What depends on the choice of zone and corner.
	mark() {
		const { draft, zone } = this;
		[...byId("zones").children].forEach((row, at) => row.classList.toggle("selected", at === draft.selected));
		byId("finish").hidden = !draft.drawing;
		byId("add-corner").disabled = !zone || draft.drawing;
		byId("remove-corner").disabled = draft.corner < 0 || (!draft.drawing && zone.polygon.length <= 3);
		byId("hint").textContent = draft.drawing ? words.hintDrawing : draft.zones.length ? words.hintZones : words.hintNone;
	}

	row(zone) {
		const name = el("input", { value: zone.name, maxLength: 64, spellcheck: false, autocapitalize: "off" });
		const group = el("div", { role: "group", "aria-label": words.zone(zone.name) });
		name.addEventListener("input", () => {
			zone.name = name.value;
			group.setAttribute("aria-label", words.zone(zone.name));
			this.changed();
		});
		const about = el("p", { className: "quiet" }, words.about[zone.kind]);
		const choice = (key) => {
			const field = el("select", {}, Object.entries(words[`${key}s`]).map(([value, text]) => new Option(text, value)));
			field.value = zone[key];
			field.addEventListener("change", () => {
				zone[key] = field.value;
				about.textContent = words.about[zone.kind];
			});
			return el("label", { className: key }, words[key], field);
		};
		group.append(
			el("label", { className: "name" }, words.name, name),
			button(words.delete, () => this.remove(zone), { className: "delete" }),
			choice("kind"),
			choice("anchor"),
			about,
		);
		const row = el("li", {}, group);
		row.style.setProperty("--zone", colourOf(zone.colour));
		row.addEventListener("focusin", () => {
			if (!this.draft.drawing && this.zone !== zone) this.choose(this.draft.zones.indexOf(zone), -1);
		});
		return row;
	}
}

// All of a zone, as far as the frame goes.
function moved(polygon, by) {
	const way = [0, 1].map((axis) => {
		const values = polygon.map((point) => point[axis]);
		return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), by[axis]));
	});
	return polygon.map((point) => point.map((value, axis) => within(value + way[axis])));
}

// The nearest place that is within reach, or -1.
function nearest(places, distance) {
	const distances = places.map(distance);
	const least = Math.min(...distances);
	return least <= 1 ? distances.indexOf(least) : -1;
}

const middles = (polygon) =>
	polygon.map(([x, y], index) => {
		const [a, b] = polygon[(index + 1) % polygon.length];
		return [(x + a) / 2, (y + b) / 2];
	});

// Whether a ray to the right meets an odd number of sides.
function inside(polygon, [x, y]) {
	return polygon.reduce((odd, [ax, ay], index) => {
		const [bx, by] = polygon[(index + 1) % polygon.length];
		return ay <= y !== by <= y && x < ax + ((y - ay) / (by - ay)) * (bx - ax) ? !odd : odd;
	}, false);
}
