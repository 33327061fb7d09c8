// Keeps contact with the daemon: one WebSocket, opened again whenever it is lost.

import { asked, folder } from "./dom.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const OPEN_MS = 4000; // for a connection to come about, and for an answer
const STALE_MS = 3000;
const SILENT_MS = 10000; // the state comes every second: a connection without it is dead, whoever noticed

export class Contact {
	// `hear` gets what is said, `see` the frames; `changed` is called when contact is lost or found.
	constructor({ hear, see, changed }) {
		Object.assign(this, { hear, see, changed });
		this.socket = null;
		this.wait = FIRST_WAIT_MS;
		this.heardAt = 0;
		this.owed = 0;
		this.isGone = false; // whether there is no such camera any more
		document.addEventListener("visibilitychange", () => this.comeBack());
		setInterval(() => this.lookAround(), 500);
		this.connect();
	}

	// `connecting`, `live`, `silent`, `lost` or `removed`.
	get status() {
		if (this.isGone) return "removed";
		if (this.socket?.readyState !== WebSocket.OPEN) return this.everLive ? "lost" : "connecting";
		return performance.now() - this.heardAt > STALE_MS ? "silent" : "live";
	}

	connect() {
		clearTimeout(this.retry);
		const url = new URL(`live/${asked}`, folder);
		url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
		const socket = (this.socket = new WebSocket(url));
		socket.binaryType = "arraybuffer";
		this.heardAt = performance.now();
		socket.addEventListener("message", ({ data }) => {
			if (socket !== this.socket) return;
			this.heardAt = performance.now();
			if (typeof data === "string") this.take(JSON.parse(data));
			else this.see(data);
		});
		socket.addEventListener("close", () => socket === this.socket && this.lose());
	}

	take(message) {
		if (message.type === "hello") {
			this.wait = FIRST_WAIT_MS;
			this.isGone = false;
			this.everLive = true;
			this.changed();
		}
		this.hear(message);
	}

	// Closing waits for the other side, which a silent loss never answers.
	giveUp() {
		const dead = this.socket;
		this.lose();
		dead.close();
	}

	async lose() {
		this.socket = null;
		this.owed = 0;
		this.everLive = true;
		this.retry = setTimeout(() => this.connect(), this.wait * (0.5 + Math.random() / 2));
		this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
		this.changed();
		// Whoever has to show a token again is sent to the form; a camera may be there no more.
		const answer = await fetch(location.pathname, { method: "HEAD", signal: AbortSignal.timeout(OPEN_MS) }).catch(() => null);
		if (answer?.status === 401) location.reload();
		if (answer?.status === 404 && this.socket?.readyState !== WebSocket.OPEN) {
			this.isGone = true;
			this.changed();
		}
	}

	// A frame that was drawn is answered, and the next one comes. A page that nobody sees answers none.
	drawn() {
		this.owed += 1;
		requestAnimationFrame(() => this.settle());
	}

	settle() {
		while (!document.hidden && this.owed > 0 && this.socket?.readyState === WebSocket.OPEN) {
			this.owed -= 1;
			this.socket.send("next");
		}
	}

	// Somebody looks again; a browser hardly lets a hidden page try.
	comeBack() {
		if (document.hidden) return;
		if (!this.socket) this.connect();
		this.settle();
	}

	lookAround() {
		const silentMs = performance.now() - this.heardAt;
		const opening = this.socket?.readyState === WebSocket.CONNECTING;
		if (this.socket && !document.hidden && silentMs > (opening ? OPEN_MS : SILENT_MS)) this.giveUp();
		this.changed();
	}
}
