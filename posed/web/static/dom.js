// Small helpers for everything on the page: elements, texts, times.

export const byId = (id) => document.getElementById(id);

// An element with properties and children. `on…` are listeners; names with a dash, and `role`, are attributes.
export function el(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (value === undefined || value === null) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
		else element[name] = value;
	}
	element.append(...children.flat().filter((child) => child !== null && child !== undefined));
	return element;
}

export const button = (text, onclick, properties = {}) => el("button", { type: "button", onclick, ...properties }, text);

// Replaces what is in an element only where that is something else, so that no focus and no selection is lost;
// whether it did.
export function renew(element, key, make) {
	const now = JSON.stringify(key);
	if (element.dataset.key === now) return false;
	element.dataset.key = now;
	element.replaceChildren(...[make()].flat());
	return true;
}

const language = (() => {
	const spoken = document.querySelector('meta[name="languages"]')?.content.split(" ") ?? ["en"];
	const wanted = navigator.languages.map((name) => name.slice(0, 2).toLowerCase());
	return wanted.find((name) => spoken.includes(name)) ?? "en";
})();

// Everything that the page says; a translation is one more file beside `texts.en.js`.
export const texts = (await import(`./texts.${language}.js`)).default;
document.documentElement.lang = language;

export const clock = (time) =>
	new Date(time).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const day = (time) =>
	new Date(time).toLocaleDateString(language, { weekday: "long", day: "numeric", month: "long" });

// Kept in this browser alone; it may allow nothing, as in a frame of another site.
export const kept = {
	get(name) {
		try {
			return localStorage.getItem(`posed ${name}`);
		} catch {
			return null;
		}
	},
	set(name, value) {
		try {
			if (value === null) localStorage.removeItem(`posed ${name}`);
			else localStorage.setItem(`posed ${name}`, value);
			return true;
		} catch {
			return false;
		}
	},
};

// The folder that the page lies in, whatever a proxy puts before it, and the camera of the address.
export const folder = new URL(".", location.href);
export const asked = decodeURIComponent(location.pathname.slice(folder.pathname.length));

// Asks the daemon for something, as over MQTT.
export async function ask(verb, body) {
	try {
		const answer = await fetch(new URL(`api/request/${verb}`, folder), {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify(body),
			signal: AbortSignal.timeout(8000),
		});
		if (answer.ok) return { data: (await answer.json()).data };
		return { error: answer.status === 422 ? (await answer.json()).error : (await answer.text()).trim() };
	} catch {
		return { error: texts.noContact };
	}
}
