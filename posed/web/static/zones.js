// Zones drawn and changed with a mouse, a finger or the keys. The daemon judges them; here nothing is known of its
// rules but that zones are kept by their names.

import { ask, button, byId, el, texts } from "./dom.js";
import { colourOf } from "./draw.js";

const words = texts.setup;

const MOUSE_REACH_PX = 12;
const FINGER_REACH_PX = 22; // a finger hits what is 44 px wide
const STEP = 0.01;
const LARGE_STEP = 0.05;
const FIRST_SQUARE = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ROUNDED = 1000;

const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * ROUNDED) / ROUNDED;
const listed = (zones) => Object.entries(zones).map(([name, zone]) => ({ name, ...zone }));
const named = ({ name, polygon, kind, anchor }) => [name.trim(), { polygon, kind, anchor }];

export class Editor {
	// `changed` is called when there is something to draw anew.
	constructor(canvas, changed) {
		this.canvas = canvas;
		this.changed = changed;
		this.draft = null;
		this.kept = [];
		this.camera = "";
		canvas.addEventListener("pointerdown", (event) => this.press(event));
		canvas.addEventListener("pointermove", (event) => this.drag(event));
		for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.release());
		canvas.addEventListener("keydown", (event) => this.key(event));
	}

	// The list of zones, with what belongs to it, and `more` before what stays in view; once.
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

	// What the daemon has, as in the file: by name. What is being changed here stays as it is.
	take(zones) {
		const wasChanged = this.isChanged;
		const before = JSON.stringify(this.kept);
		this.kept = listed(zones);
		if (this.draft && !wasChanged && before !== JSON.stringify(this.kept)) this.begin();
	}

	get isChanged() {
		return this.draft !== null && JSON.stringify(this.draft.zones.map(named)) !== JSON.stringify(this.kept.map(named));
	}

	begin() {
		const zones = structuredClone(this.kept).map((zone, colour) => ({ ...zone, colour }));
		this.draft = { zones, selected: zones.length ? 0 : -1, corner: -1, drawing: false };
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
		return true;
	}

	remove(index) {
		const [{ name }] = this.draft.zones.splice(index, 1);
		Object.assign(this.draft, { selected: Math.min(index, this.draft.zones.length - 1), corner: -1, drawing: false });
		this.say("", words.removed(name));
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
		if (!draft.drawing && zone.polygon.length <= 3) {
			this.say(words.threeCorners);
			return;
		}
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
			PageDown: () => change(1),
			PageUp: () => change(-1),
			Insert: () => this.insertCorner(),
			"+": () => this.insertCorner(),
			Delete: () => this.removeCorner(),
			Backspace: () => this.removeCorner(),
			Enter: () => draft.drawing && this.finish(),
			Escape: () => this.escape(),
		}[event.key.length === 1 ? event.key.toLowerCase() : event.key];
		const arrow = ARROWS[event.key];
		if (!work && !arrow) return;
		event.preventDefault();
		if (arrow) this.step(arrow.map((way) => way * (event.shiftKey ? LARGE_STEP : STEP)));
		else work();
	}

	escape() {
		if (this.draft.drawing) this.remove(this.draft.selected);
		else if (this.draft.corner >= 0) this.choose(this.draft.selected, -1);
		else byId("save").focus();
	}

	step(by) {
		const { draft, zone } = this;
		if (!zone?.polygon.length) return;
		if (draft.corner < 0) zone.polygon = moved(zone.polygon, by);
		else zone.polygon[draft.corner] = zone.polygon[draft.corner].map((value, axis) => within(value + by[axis]));
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
		if (!this.draft || event.button > 0 || !event.isPrimary) return;
		event.preventDefault();
		this.canvas.focus({ preventScroll: true });
		this.canvas.setPointerCapture(event.pointerId);
		const place = this.place(event);
		const distance = this.distances(event);
		if (this.draft.drawing) this.extend(place, distance);
		else this.grab(place, distance);
	}

	extend(place, distance) {
		const { polygon } = this.zone;
		if (polygon.length > 2 && distance(polygon[0]) <= 1) {
			this.finish();
			return;
		}
		if (polygon.some(([x, y]) => x === place[0] && y === place[1])) return;
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
			this.choose(draft.selected, corner);
			return;
		}
		const found = this.zone && inside(polygon, place) ? draft.selected : draft.zones.findLastIndex((zone) => inside(zone.polygon, place));
		if (found >= 0) this.dragged = { from: place, polygon: structuredClone(draft.zones[found].polygon) };
		this.choose(found, -1);
	}

	// How far a point is from where was pressed: 1 is as far as that reaches.
	distances(event) {
		const box = this.canvas.getBoundingClientRect();
		const reach = event.pointerType === "mouse" ? MOUSE_REACH_PX : FINGER_REACH_PX;
		return ([x, y]) => Math.hypot(box.left + x * box.width - event.clientX, box.top + y * box.height - event.clientY) / reach;
	}

	drag(event) {
		if (!this.draft || !this.dragged) return;
		const place = this.place(event);
		const { corner, from, polygon } = this.dragged;
		if (corner === undefined) this.zone.polygon = moved(polygon, [place[0] - from[0], place[1] - from[1]]);
		else this.zone.polygon[corner] = place;
		this.changed();
	}

	release() {
		if (this.draft && this.dragged) this.sayWhere();
		this.dragged = null;
	}

	// Kept

	// By name, as the file has them; nothing where two are called the same.
	named() {
		const zones = this.draft.zones.map(named);
		const twice = zones.find(([name], index) => zones.findIndex(([other]) => other === name) !== index);
		if (twice) this.say(words.twice(twice[0]));
		return twice ? null : Object.fromEntries(zones);
	}

	async save() {
		if (this.draft.drawing && !this.finish()) return;
		const zones = this.named();
		if (!zones) return;
		const { error } = await ask("set", { camera: this.camera, settings: { zones }, persist: true });
		if (!this.draft) return;
		if (!error) this.kept = listed(zones);
		this.say(error ?? "", error ? "" : words.saved);
	}

	// Said and shown

	say(problem, word = "") {
		byId("problem").textContent = problem;
		byId("zone-word").textContent = word;
	}

	sayWhere() {
		const { draft, zone } = this;
		if (!zone?.polygon.length) return;
		const [x, y] = draft.corner < 0 ? zone.polygon[0] : zone.polygon[draft.corner];
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
		const choice = (key, choices) => {
			const field = el("select", {}, Object.entries(choices).map(([value, text]) => new Option(text, value)));
			field.value = zone[key];
			field.addEventListener("change", () => {
				zone[key] = field.value;
				about.textContent = words.about[zone.kind];
			});
			return field;
		};
		group.append(
			el("label", { className: "name" }, words.name, name),
			button(words.delete, () => this.remove(this.draft.zones.indexOf(zone)), { className: "delete" }),
			el("label", { className: "kind" }, words.kind, choice("kind", words.kinds)),
			el("label", { className: "anchor" }, words.anchor, choice("anchor", words.anchors)),
			about,
		);
		const row = el("li", {}, group);
		row.style.setProperty("--zone", colourOf(zone.colour));
		row.addEventListener("focusin", () => {
			if (!this.draft.drawing && this.draft.selected !== this.draft.zones.indexOf(zone)) this.choose(this.draft.zones.indexOf(zone), -1);
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
	const best = distances.indexOf(Math.min(...distances));
	return distances[best] <= 1 ? best : -1;
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
