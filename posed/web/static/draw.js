// Draws a frame and what was found in it on the canvas. Places come in px of the frame, zones in fractions of it.

import { texts } from "./dom.js";

const COLOURS = ["#ffc400", "#00c8ff", "#ff4081", "#76ff03", "#d580ff", "#ff7043"];
// Of zones, by Okabe and Ito: told apart by whoever does not see all colours. The eighth zone is dashed, and so on.
const ZONE_COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2"];
export const colourOf = (index) => ZONE_COLOURS[index % ZONE_COLOURS.length];
const isDashed = (index) => Math.floor(index / ZONE_COLOURS.length) % 2 === 1;
const SHADOW = "rgba(0, 0, 0, 0.75)";
const LABEL = "rgba(0, 0, 0, 0.8)";
const SHORT = 7; // letters of a name for which there is no room
const HANDLE = 10; // half of a chosen corner's width, px

const FOCAL = 0.8; // of the picture's longer side, as the daemon takes it
const FLOOR_FAR = [1, 1.5, 2, 3, 4.5, 7, 12]; // lines across the floor, in heights of the camera
const FLOOR_ASIDE = [-6, -4, -2.5, -1.5, -0.75, 0, 0.75, 1.5, 2.5, 4, 6];

export class Painter {
	// `small` is for tiles: thin lines, and nothing written.
	constructor(canvas, { small = false } = {}) {
		this.canvas = canvas;
		this.context = canvas.getContext("2d");
		this.size = { width: 640, height: 480 };
		this.small = small;
	}

	// What is seen now: `scene` has frame, bitmap, people, zones, draft and what to show; with `outline` the room
	// is drawn where there is no picture, and `pitch` says how far the camera looks down.
	paint(scene) {
		this.size = scene.frame;
		this.fit();
		const { context, width, height } = this;
		context.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
		context.clearRect(0, 0, width, height);
		if (scene.bitmap) {
			// What is in blocks stays so: a smooth picture would promise more than there is.
			context.imageSmoothingEnabled = scene.bitmap.width > 64;
			context.drawImage(scene.bitmap, 0, 0, width, height);
		} else if (scene.outline) {
			this.room(scene.pitch);
		} else {
			context.fillStyle = "#000";
			context.fillRect(0, 0, width, height);
		}
		this.labels = [];
		const zones = scene.draft?.zones ?? (scene.show.zones ? scene.zones : []);
		if (scene.draft) {
			// What is being drawn lies above the people, and nothing is written on a corner that is to be grabbed.
			for (const person of scene.people) this.person(person, { ...scene, show: { skeletons: true } });
			this.zones(zones, scene.draft);
		} else {
			this.zones(zones);
			for (const person of scene.people) this.person(person, scene);
		}
	}

	// As wide as there is room, and no higher than the window; sharp on any screen.
	fit() {
		const room = this.canvas.parentElement.clientWidth;
		const limit = parseFloat(getComputedStyle(this.canvas).maxHeight) || Math.max(200, window.innerHeight * 0.78);
		const highest = this.small ? room : limit;
		const { width, height } = this.size;
		const scale = Math.min(room / width, highest / height);
		this.dpr = window.devicePixelRatio || 1;
		this.width = Math.round(width * scale);
		this.height = Math.round(height * scale);
		this.scale = this.width / width;
		const pixels = [Math.round(this.width * this.dpr), Math.round(this.height * this.dpr)];
		if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) {
			[this.canvas.width, this.canvas.height] = pixels;
			this.canvas.style.width = `${this.width}px`;
			this.canvas.style.height = `${this.height}px`;
		}
	}

	// An empty room: where the floor is, once it is known how far the camera looks down.
	room(pitchDeg) {
		const { context, width, height } = this;
		context.fillStyle = "#1a2129";
		context.fillRect(0, 0, width, height);
		if (pitchDeg === null || pitchDeg === undefined) return;
		const pitch = (pitchDeg * Math.PI) / 180;
		const focal = FOCAL * Math.max(width, height);
		// Of a point on the floor so many camera heights ahead and aside, where it is in the picture, px.
		const place = (ahead, aside) => {
			const depth = ahead * Math.cos(pitch) + Math.sin(pitch);
			return [width / 2 + (focal * aside) / depth, height / 2 + (focal * (Math.cos(pitch) - ahead * Math.sin(pitch))) / depth];
		};
		const far = FLOOR_FAR.at(-1);
		const edge = place(far, 0)[1];
		context.fillStyle = "#222c35";
		context.fillRect(0, edge, width, height - edge);
		context.strokeStyle = "#34414d";
		context.lineWidth = 1;
		context.beginPath();
		for (const ahead of FLOOR_FAR) {
			const [, y] = place(ahead, 0);
			context.moveTo(0, y);
			context.lineTo(width, y);
		}
		for (const aside of FLOOR_ASIDE) {
			context.moveTo(...place(far, aside * 2));
			context.lineTo(...place(0.6, aside * 2));
		}
		context.stroke();
	}

	person(person, { show, keypoints, edges }) {
		const colour = COLOURS[(person.id - 1) % COLOURS.length];
		if (show.boxes && person.box) this.box(person.box, colour);
		const places = keypoints.map((name) => person.keypoints[name] && this.within(person.keypoints[name]));
		if (show.skeletons) this.skeleton(places, edges, colour);
		if (show.names && person.box) {
			const parts = [`${person.id}`, texts.posture[person.posture], ...person.zones];
			this.label(parts.filter(Boolean).join(" · "), person.box.x * this.scale, person.box.y * this.scale - 6, colour);
		}
	}

	// A place of the frame: one that lies outside is at its edge.
	within({ x, y }) {
		const { width, height } = this.size;
		return { x: Math.max(0, Math.min(x, width - 1)), y: Math.max(0, Math.min(y, height - 1)) };
	}

	box(box, colour) {
		const { context, scale } = this;
		const margin = 4;
		const { x, y } = this.within(box);
		const corner = this.within({ x: box.x + box.width, y: box.y + box.height });
		const [width, height] = [corner.x - x, corner.y - y];
		context.lineWidth = 1.5;
		context.strokeStyle = colour;
		context.setLineDash([6, 4]);
		context.strokeRect(x * scale - margin, y * scale - margin, width * scale + 2 * margin, height * scale + 2 * margin);
		context.setLineDash([]);
	}

	skeleton(points, edges, colour) {
		const { context, scale } = this;
		const line = Math.max(2, this.width / (this.small ? 90 : 260));
		context.lineCap = "round";
		// First the dark rim of everything, so that it stands out from any picture.
		for (const [width, style] of [[line + 2, SHADOW], [line, colour]]) {
			context.lineWidth = width;
			context.strokeStyle = style;
			context.beginPath();
			for (const [from, to] of edges) {
				const [a, b] = [points[from], points[to]];
				if (!a || !b) continue;
				context.moveTo(a.x * scale, a.y * scale);
				context.lineTo(b.x * scale, b.y * scale);
			}
			context.stroke();
		}
		for (const point of points) if (point && !this.small) this.dot(point.x * scale, point.y * scale, line * 1.2, colour);
	}

	dot(x, y, radius, fill, rim = SHADOW) {
		const { context } = this;
		context.beginPath();
		context.arc(x, y, radius, 0, 2 * Math.PI);
		context.fillStyle = fill;
		context.fill();
		context.lineWidth = 1;
		context.strokeStyle = rim;
		context.stroke();
	}

	// A text whose lower left corner is at (x, y), or as near to it as there is room beside what has been written;
	// shortened, or left out, where there is none.
	label(text, x, y, colour) {
		const { context } = this;
		context.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
		const height = 20;
		const place = this.free(x, y - height, context.measureText(text).width + 17, height);
		if (!place) {
			if (text.length > SHORT) this.label(`${text.slice(0, SHORT - 1)}…`, x, y, colour);
			return;
		}
		this.labels.push(place);
		context.fillStyle = LABEL;
		context.beginPath();
		context.roundRect(place.x, place.y, place.width, height, 5);
		context.fill();
		context.fillStyle = colour;
		context.fillRect(place.x + 4, place.y + 4, 4, height - 8);
		context.fillStyle = "#fff";
		context.textBaseline = "middle";
		context.fillText(text, place.x + 12, place.y + height / 2 + 0.5);
	}

	// Around (x, y), ring by ring, the first place inside the picture on which nothing lies.
	free(x, y, width, height) {
		const within = (value, most) => Math.max(2, Math.min(value, most - 2));
		const [right, down] = [Math.max(width / 3, 24), height + 2];
		const rings = Math.ceil(Math.max(this.width / right, this.height / down));
		for (let ring = 0; ring <= rings; ring += 1) {
			for (let row = -ring; row <= ring; row += 1) {
				const step = Math.abs(row) === ring ? 1 : 2 * ring;
				for (let column = -ring; column <= ring; column += step) {
					const place = { x: within(x + column * right, this.width - width), y: within(y + row * down, this.height - height), width, height };
					if (!this.labels.some((other) => overlap(place, other))) return place;
				}
			}
		}
		return null;
	}

	// All of them, the chosen one above the others, and then their names.
	zones(zones, draft) {
		const order = [...zones.keys()].sort((a, b) => (a === draft?.selected) - (b === draft?.selected));
		for (const index of order) this.zone(zones[index], index, draft);
		if (!this.small) zones.forEach((zone, index) => this.zoneName(zone, index));
	}

	zone(zone, index, draft) {
		if (!zone.polygon.length) return;
		const { context } = this;
		const colour = colourOf(zone.colour ?? index);
		const chosen = draft && index === draft.selected;
		const open = chosen && draft.drawing;
		const places = zone.polygon.map(([x, y]) => [x * this.width, y * this.height]);
		context.beginPath();
		places.forEach(([x, y], corner) => (corner ? context.lineTo(x, y) : context.moveTo(x, y)));
		if (!open) context.closePath();
		context.lineJoin = "round";
		context.globalAlpha = chosen ? 0.3 : 0.16;
		context.fillStyle = colour;
		if (places.length > 2) context.fill();
		context.globalAlpha = 1;
		// The dark rim makes it stand out from a light picture, too.
		context.lineWidth = this.small ? 3 : 5;
		context.strokeStyle = "rgba(0, 0, 0, 0.6)";
		context.stroke();
		context.lineWidth = this.small ? 1.5 : 2.5;
		context.strokeStyle = colour;
		context.setLineDash(isDashed(zone.colour ?? index) ? [9, 5] : []);
		context.stroke();
		context.setLineDash([]);
		if (chosen) this.handles(places, draft, colour, open);
	}

	// Corners to drag, and between them smaller ones that make another corner. No name lies on them.
	handles(places, draft, colour, open) {
		places.forEach(([x, y], corner) => {
			const next = places[(corner + 1) % places.length];
			if (!open) this.dot((x + next[0]) / 2, (y + next[1]) / 2, 4, "rgba(255, 255, 255, 0.8)");
			this.labels.push({ x: x - HANDLE, y: y - HANDLE, width: 2 * HANDLE, height: 2 * HANDLE });
			if (corner !== draft.corner) this.dot(x, y, 7, colour, "#fff");
		});
		if (draft.corner < 0) return;
		const [x, y] = places[draft.corner];
		this.dot(x, y, HANDLE, "#fff");
		this.dot(x, y, 6, colour);
	}

	// At its uppermost corner, inside.
	zoneName(zone, index) {
		if (!zone.polygon.length) return;
		const [x, y] = zone.polygon.reduce((best, place) => (place[1] < best[1] ? place : best));
		this.label(texts.name(zone.name), x * this.width + 6, y * this.height + 26, colourOf(zone.colour ?? index));
	}
}

function overlap(a, b) {
	return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
