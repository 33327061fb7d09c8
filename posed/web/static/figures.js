// Technical figures, for whoever set posed up: what the camera and the machine do, and what a frame takes.

import { byId, el, texts } from "./dom.js";

const STEADY = 0.1; // of a new value in a mean that is shown
const means = new Map();

export function forgetStages() {
	means.clear();
}

export function noteStages(stages) {
	for (const [stage, ms] of Object.entries(stages)) {
		const mean = means.get(stage);
		means.set(stage, mean === undefined ? ms : mean + STEADY * (ms - mean));
	}
}

export function showFigures(state) {
	const { facts } = texts;
	const { machine, camera } = state;
	const { engine, model } = machine;
	const rows = [];
	if (camera) {
		const size = camera.width ? ` ${camera.width}×${camera.height}` : "";
		rows.push(
			[facts.people, camera.people ?? facts.unknown],
			[facts.fps, camera.fps.toFixed(1)],
			[facts.latency, camera.latency_ms === null ? "–" : texts.ms(camera.latency_ms)],
			[facts.camera, `${camera.kind}${size}`],
			[facts.dropped, camera.dropped],
		);
	}
	rows.push(
		[facts.engine, `${engine.kind}${engine.device ? ` ${engine.device}` : ""}`],
		[facts.temperature, engine.temperature_c === null ? "–" : `${engine.temperature_c.toFixed(0)} °C`],
		[facts.model, model.name],
		[facts.version, machine.version],
	);
	byId("figures").replaceChildren(
		el("h2", {}, texts.figures),
		el("dl", {}, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
		...(means.size ? [el("h3", {}, texts.stagesTitle), bars()] : []),
	);
}

function bars() {
	const longest = Math.max(1, ...[...means].filter(([stage]) => stage !== "capture").map(([, ms]) => ms));
	const rows = Object.keys(texts.stages).filter((stage) => means.has(stage)).map((stage) => {
		const ms = means.get(stage);
		const fill = el("span", { className: "fill" });
		fill.style.width = `${Math.min(100, (100 * ms) / longest)}%`;
		return el(
			"li",
			{ className: stage === "capture" ? "wait" : "" },
			el("span", { className: "name" }, texts.stages[stage]),
			el("span", { className: "track" }, fill),
			el("span", { className: "ms" }, texts.ms(ms)),
		);
	});
	return el("ul", { id: "stages" }, rows);
}
