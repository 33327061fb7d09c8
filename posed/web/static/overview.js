// All cameras at a glance: a tile for each, with the people in it as figures, their postures and zones.

import { byId, el, folder, renew, texts } from "./dom.js";
import { Painter } from "./draw.js";

const tiles = new Map();

// A word for what a camera has: `ok`, `fall`, `paused`, `starting`, `waiting`, `dark`, …
export function wordOf(name, state) {
	return state.falls.some(({ camera }) => camera === name) ? "fall" : sightOf(state.cameras[name]);
}

// The same without falls: whether anybody can be seen, and what keeps posed from it.
export function sightOf({ paused, status, why, sight }) {
	if (paused) return "paused";
	if (status !== "ok") return why?.startsWith("starting") ? "starting" : "waiting";
	return ["dark", "covered", "frozen"].includes(sight) ? sight : "ok";
}

// Of everybody who is seen now; null while nothing is known.
export const posturesOf = ({ people, seen }) => (people === null ? null : seen.map(({ posture }) => posture));

export function showTiles(state, { keypoints, edges }) {
	const names = Object.keys(state.cameras);
	if (names.join() !== [...tiles.keys()].join()) {
		tiles.clear();
		for (const name of names) tiles.set(name, tile(name));
		byId("tiles").replaceChildren(...[...tiles.values()].map(({ link }) => link));
	}
	for (const [name, { link, painter, word, people, zones }] of tiles) {
		const glance = state.cameras[name];
		link.dataset.word = wordOf(name, state);
		word.textContent = texts.words[link.dataset.word];
		people.textContent = texts.tile(posturesOf(glance));
		const inside = [...new Set(glance.seen.flatMap((person) => person.zones))];
		zones.textContent = inside.length ? texts.inZones(inside) : "";
		painter.paint({
			frame: { width: glance.width ?? 640, height: glance.height ?? 480 }, people: glance.seen, keypoints, edges,
			outline: true, pitch: glance.pitch_deg, zones: Object.entries(glance.zones).map(([zone, about]) => ({ name: zone, ...about })),
			show: { skeletons: true, zones: true },
		});
	}
}

function tile(name) {
	const canvas = el("canvas", { "aria-hidden": "true" });
	const [word, people, zones] = ["word", "people", "zones"].map((className) => el("span", { className }));
	const link = el(
		"a",
		{ className: "tile", href: new URL(name, folder) },
		el("div", { className: "glance" }, canvas),
		el("span", { className: "name" }, texts.name(name)),
		word,
		people,
		zones,
	);
	return { link, painter: new Painter(canvas, { small: true }), word, people, zones };
}

// The choice of camera, with a word beside each before which somebody has fallen, or that shows nothing now.
export function showChoice(state, current) {
	const nav = byId("cameras");
	const rows = Object.keys(state.cameras).map((name) => [name, wordOf(name, state)]);
	nav.hidden = rows.length < 2;
	const focused = document.activeElement?.href;
	const link = (address, text, isCurrent, word) =>
		el("a", { href: address, "aria-current": isCurrent ? "page" : undefined }, text, word && word !== "ok" ? el("span", { className: word }, ` ${texts.words[word]}`) : null);
	const links = [link(folder, texts.all, !current), ...rows.map(([name, word]) => link(new URL(name, folder), texts.name(name), name === current, word))];
	if (renew(nav, [current, rows], () => links)) links.find(({ href }) => href === focused)?.focus({ preventScroll: true });
}
