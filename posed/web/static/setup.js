// Set-up of a camera: its zones, its settings, and how it hangs.

import { confirm } from "./alerts.js";
import { ask, button, byId, el, texts } from "./dom.js";
import { Mounting } from "./mounting.js";
import { Sliders } from "./sliders.js";
import { Still } from "./still.js";
import { Editor } from "./zones.js";

const words = texts.setup;
const PARTS = ["zones", "settings", "mounting"];

export class Setup {
	// `paint` draws the canvas anew.
	constructor({ canvas, paint }) {
		Object.assign(this, { canvas, paint, camera: "", pictures: "off", part: null });
		// What they call has to wait until all of them are there.
		const changed = () => this.isBuilt && this.paint();
		this.editor = new Editor(canvas, changed);
		this.stills = new Still(changed);
		this.sliders = new Sliders();
		this.mounting = new Mounting();
		this.build();
		this.isBuilt = true;
		addEventListener("beforeunload", (event) => this.editor.isChanged && event.preventDefault());
	}

	build() {
		const parts = { zones: this.editor.panel(this.stills.panel()), settings: this.sliders.panel(), mounting: this.mounting.panel() };
		this.tabs = PARTS.map((part) =>
			button(words.parts[part], () => this.choose(part), { id: `tab-${part}`, role: "tab", "aria-controls": `part-${part}`, "aria-selected": "false" }),
		);
		this.panels = PARTS.map((part) => el("div", { id: `part-${part}`, className: "part", role: "tabpanel", "aria-labelledby": `tab-${part}`, hidden: true }, parts[part]));
		const list = el("div", { className: "tabs", role: "tablist", "aria-label": words.title }, this.tabs);
		list.addEventListener("keydown", (event) => this.turn(event));
		this.pause = button(texts.pause, () => this.askToPause(), { id: "pause" });
		byId("setup").className = "card";
		byId("setup").setAttribute("aria-label", words.title);
		byId("setup").append(list, ...this.panels, el("div", { className: "bar pausing" }, this.pause));
	}

	// What the canvas shows

	get draft() {
		return this.part === "zones" ? this.editor.draft : null;
	}

	get zones() {
		return this.editor.kept;
	}

	get still() {
		return this.draft && !["full", "blurred"].includes(this.pictures) ? this.stills.bitmap : null;
	}

	// What the daemon says

	greet({ camera, pictures }) {
		this.pictures = pictures;
		if (camera === this.camera) return;
		this.camera = camera;
		if (!camera && this.part) this.close();
		this.stills.see(null);
		for (const one of [this.editor, this.stills, this.sliders, this.mounting]) one.of(camera);
	}

	see(scene) {
		this.stills.see(["full", "blurred"].includes(this.pictures) ? scene.bitmap : null);
		this.mounting.see(scene);
	}

	take(state) {
		this.state = state;
		this.editor.take(state.camera.settings.zones);
		this.pause.textContent = state.camera.paused ? texts.resume : texts.pause;
		if (this.part === "settings") this.sliders.take(state);
		if (this.part === "mounting") this.mounting.take(state);
	}

	// Opened and closed

	toggle() {
		if (!this.part) this.open();
		else if (this.editor.isChanged) confirm({ ...words.leave, no: words.no, work: async () => (this.close(), {}) });
		else this.close();
	}

	open() {
		this.editor.begin();
		this.choose("zones");
		this.mark(true);
		byId("camera").scrollIntoView({ block: "start" });
	}

	close() {
		this.part = null;
		this.editor.leave();
		this.mark(false);
	}

	mark(isOpen) {
		byId("setup").hidden = !isOpen;
		byId("camera").classList.toggle("setting-up", isOpen);
		byId("edit").textContent = isOpen ? texts.leaveSetUp : texts.setUp;
		byId("edit").setAttribute("aria-expanded", isOpen);
		this.markCanvas();
		this.paint();
	}

	choose(part) {
		this.part = part;
		PARTS.forEach((one, index) => {
			const isChosen = one === part;
			this.tabs[index].setAttribute("aria-selected", isChosen);
			this.tabs[index].tabIndex = isChosen ? 0 : -1;
			this.panels[index].hidden = !isChosen;
		});
		byId("camera").dataset.part = part;
		this.markCanvas();
		if (this.state) this.take(this.state);
		this.paint();
	}

	// While zones are drawn, the canvas takes keys.
	markCanvas() {
		const { canvas } = this;
		const isEditing = this.draft !== null;
		canvas.classList.toggle("editing", isEditing);
		canvas.setAttribute("role", isEditing ? "application" : "img");
		canvas.setAttribute("aria-label", isEditing ? words.canvas(this.camera) : texts.picture(this.camera));
		for (const [name, value] of [["tabindex", "0"], ["aria-describedby", "keys"]]) {
			if (isEditing) canvas.setAttribute(name, value);
			else canvas.removeAttribute(name);
		}
	}

	// Arrow keys go from tab to tab.
	turn(event) {
		const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!by) return;
		event.preventDefault();
		const index = (PARTS.indexOf(this.part) + by + PARTS.length) % PARTS.length;
		this.choose(PARTS[index]);
		this.tabs[index].focus();
	}

	askToPause() {
		const { camera } = this;
		if (this.state?.camera.paused) ask("resume", { camera });
		else confirm({ title: texts.pauseConfirm(camera), text: texts.pauseText, yes: texts.pauseYes, no: words.no, work: () => ask("pause", { camera }) });
	}
}
