// A picture that was taken once, kept in this browser alone: zones can be drawn on it where pictures are off.

import { button, clock, day, el, kept, texts } from "./dom.js";

const words = texts.setup;
const WIDEST_PX = 640;
const QUALITY = 0.8;

export class Still {
	// `changed` is called when there is another one, or none.
	constructor(changed) {
		this.changed = changed;
		this.camera = "";
		this.bitmap = null;
		this.at = null;
		this.word = el("p", { className: "quiet", role: "status" });
		this.keepIt = button(words.keepStill, () => this.keep(), { id: "keep-still" });
		this.deleteIt = button(words.deleteStill, () => this.drop(), { id: "delete-still" });
	}

	panel() {
		return el("div", { id: "still" }, this.word, el("div", { className: "bar" }, this.keepIt, this.deleteIt));
	}

	async of(camera) {
		this.camera = camera;
		const { at, jpeg } = JSON.parse(kept.get(`still ${camera}`) ?? "{}");
		const bitmap = jpeg ? await createImageBitmap(new Blob([bytesOf(jpeg)], { type: "image/jpeg" })).catch(() => null) : null;
		if (camera === this.camera) this.become(bitmap, at);
	}

	become(bitmap, at) {
		this.bitmap?.close();
		Object.assign(this, { bitmap, at });
		this.show();
		this.changed();
	}

	// `picture` is that of now; null where there is none, or none that may be kept.
	see(picture) {
		if (Boolean(this.picture) !== Boolean(picture)) {
			this.picture = picture;
			this.show();
		}
		this.picture = picture;
	}

	async keep() {
		const { picture, camera } = this;
		const scale = Math.min(1, WIDEST_PX / picture.width);
		const [width, height] = [Math.round(picture.width * scale), Math.round(picture.height * scale)];
		const canvas = el("canvas", { width, height });
		canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
		const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
		const jpeg = textOf(new Uint8Array(await blob.arrayBuffer()));
		if (!kept.set(`still ${camera}`, JSON.stringify({ at: Date.now(), jpeg }))) {
			this.word.textContent = words.stillRefused;
			return;
		}
		await this.of(camera);
	}

	drop() {
		kept.set(`still ${this.camera}`, null);
		this.become(null, null);
		(this.keepIt.hidden ? this.word : this.keepIt).focus();
	}

	show() {
		this.keepIt.hidden = !this.picture;
		this.deleteIt.hidden = !this.bitmap;
		this.word.textContent = this.bitmap ? words.stillOf(day(this.at), clock(this.at)) : this.picture ? words.stillNone : "";
	}
}

// The policy of the page allows no data: addresses, so a picture goes through text by hand.
const bytesOf = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
