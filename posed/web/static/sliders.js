// The settings that people tune, as sliders and switches. What they may be the daemon says, as the file has it.

import { confirm } from "./alerts.js";
import { ask, button, clock, el, folder, texts } from "./dom.js";

const words = texts.setup;

// By group, in the order in which they are shown.
const GROUPS = {
	falls: ["people.falls", "people.fall_confirm_s", "people.fall_within_s"],
	people: ["decode.score_threshold", "decode.keypoint_threshold", "people.lost_after_s"],
	presence: ["people.presence", "people.zone_enter_s", "people.zone_leave_s"],
	postures: ["people.postures", "people.posture_hold_s"],
	gestures: ["people.gestures", "people.gesture_hold_s"],
};
const LET_GO_MS = 400; // with keys a slider is let go once it has stayed where it is for so long
const FINE = 200; // so many times as large as the finest step is the most that a slider reaches
const ROUND = [0.1, 1, 10, 100].flatMap((power) => [1, 1.5, 2, 3, 4, 5, 6, 8].map((step) => Number((step * power).toPrecision(2))));
const SHARES = Array.from({ length: 21 }, (_, step) => step / 20);

// The values that a slider has: round ones within the bounds (JSON Schema's words), and those that are held now.
export function stops({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }, ...held) {
	const [least, most] = [minimum ?? exclusiveMinimum, maximum ?? exclusiveMaximum];
	const round = most > 1 ? ROUND.filter((value) => value >= most / FINE) : SHARES;
	const ends = [minimum, maximum].filter((end) => end !== undefined);
	const values = [...round.filter((value) => value > least && value < most), ...ends, ...held];
	return [...new Set(values)].sort((a, b) => a - b);
}

export class Sliders {
	constructor() {
		this.camera = "";
		this.rows = new Map();
		this.list = el("div", { id: "settings" });
		this.problem = el("p", { className: "problem", role: "alert" });
	}

	panel() {
		return [el("p", { className: "quiet" }, words.settingsHint), this.problem, this.list];
	}

	of(camera) {
		this.camera = camera;
		this.rows.clear();
		this.list.replaceChildren();
	}

	// `state` is the daemon's last. The bounds are asked for once the first one is here.
	async take(state) {
		this.state = state;
		if (!this.bounds) {
			if (this.asking) return;
			this.asking = true;
			const answer = await fetch(new URL("api/settings", folder)).catch(() => null);
			this.asking = false;
			this.problem.textContent = answer?.ok ? "" : words.settingsFailed;
			if (!answer?.ok) return;
			this.bounds = await answer.json();
		}
		if (!this.rows.size) this.list.append(...Object.entries(GROUPS).map(([group, names]) => this.group(group, names)));
		for (const row of this.rows.values()) row.take();
	}

	group(group, names) {
		const parts = names.map((name) => {
			const row = new Row(this, name);
			this.rows.set(name, row);
			return row.element;
		});
		if (group === "falls") parts.push(this.trial());
		return el("fieldset", {}, el("legend", {}, words.groups[group]), parts);
	}

	// A test alarm.
	trial() {
		const word = el("p", { id: "tried", className: "quiet", role: "status" });
		const work = async () => {
			const answer = await ask("test_event", { camera: this.camera, type: "fall" });
			if (!answer.error) word.textContent = words.tried(clock(Date.now()), this.state.broker);
			return answer;
		};
		const open = () => confirm({ title: words.tryConfirm, text: words.tryText, yes: words.tryYes, no: words.no, work });
		return el("div", { className: "setting" }, button(words.try, open, { id: "try" }), word);
	}

	// What holds for this camera, and what would hold without a value of its own.
	held(name) {
		return [this.state.camera.settings[name], this.state.machine.settings[name]];
	}
}

class Row {
	constructor(sliders, name) {
		Object.assign(this, { sliders, name, sending: false });
		const id = `set-${name.replace(".", "-")}`;
		this.isSwitch = typeof sliders.held(name)[0] === "boolean";
		this.input = el("input", { id, type: this.isSwitch ? "checkbox" : "range", "aria-describedby": `${id}-about` });
		this.value = el("span", { className: "value" });
		this.about = el("p", { id: `${id}-about`, className: "quiet" });
		this.back = button("", () => this.takeBack());
		this.problem = el("p", { className: "problem", role: "alert" });
		this.input.addEventListener("input", () => this.tell(this.wanted));
		this.input.addEventListener("change", () => this.letGo());
		const label = el("label", { for: id }, words.settings[name][0]);
		this.element = el(
			"div",
			{ className: "setting", "data-setting": name },
			this.isSwitch ? el("div", { className: "line" }, this.input, label, this.value) : [el("div", { className: "line" }, label, this.value), this.input],
			this.about,
			this.back,
			this.problem,
		);
	}

	// What holds now, unless somebody is just changing it.
	take() {
		if (!this.sending && this.timer === undefined && !this.input.matches(":active")) this.show();
	}

	show() {
		const [value, shared] = this.sliders.held(this.name);
		if (this.isSwitch) {
			this.input.checked = value;
		} else {
			this.stops = stops(this.sliders.bounds[this.name], value, shared);
			Object.assign(this.input, { min: 0, max: this.stops.length - 1, step: 1 });
			this.input.value = this.stops.indexOf(value);
		}
		this.tell(value);
		const [name, about] = words.settings[this.name];
		const back = words.value(this.name, shared);
		this.about.textContent = `${about} ${words.defaultIs(back)}`;
		this.back.textContent = words.takeBack(back);
		this.back.setAttribute("aria-label", words.takeBackOf(name, back));
		this.back.hidden = value === shared;
	}

	tell(value) {
		this.value.textContent = words.value(this.name, value);
		if (!this.isSwitch) this.input.setAttribute("aria-valuetext", this.value.textContent);
	}

	get wanted() {
		return this.isSwitch ? this.input.checked : this.stops[this.input.value];
	}

	letGo() {
		if (this.name === "people.falls" && !this.wanted) {
			this.show();
			return confirm({ ...words.fallsOff, no: words.no, work: () => this.send(false) });
		}
		clearTimeout(this.timer);
		const { wanted } = this;
		this.timer = setTimeout(() => this.send(wanted), this.isSwitch ? 0 : LET_GO_MS);
	}

	// A camera's own value goes, and what is for all holds.
	async takeBack() {
		const { error } = await this.send(null);
		if (!error) this.input.focus();
	}

	async send(value) {
		clearTimeout(this.timer);
		Object.assign(this, { timer: undefined, sending: true });
		const { name, sliders } = this;
		const answer = await ask("set", { camera: sliders.camera, settings: { [name]: value }, persist: true });
		this.sending = false;
		this.problem.textContent = answer.error ?? "";
		if (!answer.error) sliders.state.camera.settings[name] = answer.data.settings[name];
		this.take();
		return answer;
	}
}
