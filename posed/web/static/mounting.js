// Whether a camera hangs well, by what it shows: light, height, pitch, and how people fit into its picture.

import { button, el, renew, texts } from "./dom.js";

const said = texts.setup.mounting;
const FOCAL = 0.8; // of the picture's longer side, as `posed.people.pitch` takes it
const LOWEST_M = 1.3; // docs/falls.md, Mounting
const HIGHEST_M = 2.5;
// Of somebody of 1.68 m, by Drillis and Contini: ankles at 0.039 of the stature, the face about 0.93.
const ANKLES_M = 0.07;
const FACE_OVER_ANKLES_M = 1.5;
const OF_STATURE = 0.89; // that is this much of the stature
// Whoever is lost and smaller than this share of the picture's height has not fallen: `posed.people.watched`.
const SMALLEST = 0.22;
const STEEP_DEG = 30; // from here on somebody on a chair may look like somebody who stands: docs/people.md
const DIM = 48; // median luma, 0-255: below it a small sensor's noise costs a sixth of the keypoints: docs/falls.md

const ENOUGH = 40; // sightings, before anything is said of people
const MOST = 600; // of the latest ones are remembered
const FAR = 0.1; // the share of the sightings that are as small as is told
const OFTEN = 0.3; // the share from which on it is worth telling
const AGREE = 0.35; // half of the heights lie within this share of their middle, or nothing is told
const TRUNK_OF_LEGS = 1.7; // legs are at least so many times as long as the trunk, shoulders to hips, is high
const HEAD_OVER_SHOULDERS = 0.45; // the face, in trunks: `posed.people.posture`

const radians = (deg) => (deg * Math.PI) / 180;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Where a part of somebody is: the mean of those of its keypoints that are seen, or null.
function part(keypoints, ...names) {
	const seen = names.map((name) => keypoints[name]).filter(Boolean);
	return seen.length ? { x: mean(seen.map(({ x }) => x)), y: mean(seen.map(({ y }) => y)) } : null;
}
const pair = (keypoints, name) => part(keypoints, `left_${name}`, `right_${name}`);

// What one look at somebody says, or null where their trunk is not seen upright: `face` and `feet` are rows of the
// picture, null unless they surely stand, by the rules of `posed.people.posture.surely_upright`.
export function sighting({ keypoints }, { height }) {
	const [shoulders, hips, knees, ankles] = ["shoulder", "hip", "knee", "ankle"].map((name) => pair(keypoints, name));
	const face = part(keypoints, "nose", "left_eye", "right_eye", "left_ear", "right_ear");
	if (!shoulders || !hips) return null;
	const trunk = hips.y - shoulders.y;
	if (trunk <= 0 || Math.abs(hips.x - shoulders.x) > trunk * Math.tan(radians(15))) return null;
	const isBelow = ankles ? ankles.y >= height - 1 : hips.y + TRUNK_OF_LEGS * trunk > height;
	const isAbove = face ? face.y < 0 : shoulders.y - HEAD_OVER_SHOULDERS * trunk < 0;
	const thighs = knees && ankles ? (knees.y - hips.y) / (ankles.y - knees.y) : 0;
	const stands = face && !isBelow && thighs >= 0.8 && thighs <= 1.5;
	return { isBelow, isAbove, face: stands ? face.y : null, feet: stands ? ankles.y : null };
}

// How high the camera hangs above the floor, m, if somebody who stands is seen like this; null where that cannot be.
export function heightOf({ face, feet }, { width, height }, pitchDeg) {
	const down = (row) => radians(pitchDeg) + Math.atan((row - height / 2) / (FOCAL * Math.max(width, height)));
	const [feetDown, faceDown] = [down(feet), down(face)].map(Math.tan);
	if (feetDown <= 0 || feetDown <= faceDown || down(feet) >= Math.PI / 2) return null;
	return ANKLES_M + (FACE_OVER_ANKLES_M * feetDown) / (feetDown - faceDown);
}

export function quantile(values, share) {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

// The height that most sightings agree on, m, or null.
export function agreedHeight(sightings, frame, pitchDeg) {
	const heights = sightings.filter(({ face }) => face !== null).map((one) => heightOf(one, frame, pitchDeg)).filter(Boolean);
	if (heights.length < ENOUGH) return null;
	const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(heights, share));
	return high - low <= AGREE * middle ? middle : null;
}

// What is to be said, by what: [whether it is "ok", "mend" or not known ("wait"), sentences…].
export function judge({ sightings, frame, camera, luma }) {
	const { sight, pitch_deg: pitch, postures } = camera;
	const standing = sightings.filter(({ face }) => face !== null);
	const lines = {};

	if (["dark", "covered", "frozen"].includes(sight)) lines.light = ["mend", texts.noticeSight[sight](camera.camera)];
	else if (luma !== null && luma < DIM) lines.light = ["mend", said.dim];
	else lines.light = sight === null && luma === null ? ["wait", said.lightUnknown] : ["ok", said.lightOk];

	if (pitch === null) lines.pitch = ["wait", said.pitchUnknown];
	else if (postures === "too_steep") lines.pitch = ["mend", said.down(pitch), said.tooSteep];
	else lines.pitch = ["ok", said.down(pitch), ...(pitch >= STEEP_DEG ? [said.steep] : [])];

	const metres = pitch === null ? null : agreedHeight(sightings, frame, pitch);
	const shown = Math.round(10 * metres) / 10;
	const isHigh = shown > HIGHEST_M;
	if (metres === null) lines.height = ["wait", pitch === null ? said.heightNeedsPitch : said.unseen];
	else if (isHigh || shown < LOWEST_M) lines.height = ["mend", said.high(metres), said.wrongHeight(isHigh, LOWEST_M, HIGHEST_M)];
	else lines.height = ["ok", said.high(metres)];

	if (standing.length < ENOUGH) lines.size = ["wait", said.unseen];
	else {
		const share = quantile(standing.map(({ face, feet }) => (feet - face) / OF_STATURE / frame.height), FAR);
		lines.size = share < SMALLEST ? ["mend", said.tall(share), said.tooSmall(SMALLEST)] : ["ok", said.tall(share)];
	}

	for (const [what, is] of [["feet", "isBelow"], ["heads", "isAbove"]]) {
		const share = mean(sightings.map((one) => one[is]));
		if (sightings.length < ENOUGH) lines[what] = ["wait", said.unseen];
		else lines[what] = share >= OFTEN ? ["mend", said[what].cut(share)] : ["ok", said[what].ok];
	}
	return lines;
}

const EVERY_MS = 1000;
const SMALL = { width: 32, height: 24 };

export class Mounting {
	constructor() {
		this.word = el("p", { id: "mounting-word" });
		this.list = el("ul", { id: "mounting" });
		this.small = el("canvas", SMALL).getContext("2d", { willReadFrequently: true });
		this.forget();
	}

	panel() {
		return [this.word, this.list, el("div", { className: "bar" }, button(said.again, () => this.forget(), { id: "look-again" }))];
	}

	of() {
		this.forget();
	}

	forget() {
		Object.assign(this, { sightings: [], frame: null, luma: null, measuredAt: 0 });
		if (this.camera) this.show();
	}

	see({ frame, people, bitmap }) {
		if (this.frame && (frame.width !== this.frame.width || frame.height !== this.frame.height)) this.forget();
		this.frame = frame;
		this.sightings.push(...people.map((person) => sighting(person, frame)).filter(Boolean));
		this.sightings.splice(0, this.sightings.length - MOST);
		if (performance.now() - this.measuredAt > EVERY_MS) {
			this.measuredAt = performance.now();
			this.luma = bitmap ? this.lumaOf(bitmap) : null;
		}
	}

	// The median over a small picture, as the daemon measures it.
	lumaOf(bitmap) {
		this.small.drawImage(bitmap, 0, 0, SMALL.width, SMALL.height);
		const { data } = this.small.getImageData(0, 0, SMALL.width, SMALL.height);
		const lumas = Array.from({ length: data.length / 4 }, (_, at) => 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2]);
		return quantile(lumas, 0.5);
	}

	take({ camera }) {
		this.camera = camera;
		this.show();
	}

	show() {
		const lines = Object.entries(judge({ ...this, frame: this.frame ?? { width: 4, height: 3 } }));
		const has = (wanted) => lines.some(([, [how]]) => how === wanted);
		this.word.textContent = has("wait") ? said.walk : has("mend") ? said.mend : said.good;
		renew(this.list, lines, () =>
			lines.map(([what, [how, ...sentences]]) =>
				el("li", { className: how, "data-what": what }, el("strong", {}, said.titles[what]), el("span", { className: "how" }, said.how[how]), el("p", {}, sentences.join(" "))),
			),
		);
	}
}
