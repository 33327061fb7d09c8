// Everything that the page says, in English. For another language, put a file of its name beside this one, such
// as texts.de.js, with the same keys; the browser's language chooses.

const NUMBERS = ["Nobody", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];
const number = (count) => NUMBERS[count] ?? `${count}`;
const small = (text) => text[0].toLowerCase() + text.slice(1);
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const percent = (share, digits = 1) => `${Number((100 * share).toFixed(digits))}\u00a0%`;
const listed = (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`);

// A name as it is said: `living_room` is "living room", in a sentence "the living room", and `bed_2` "bed 2".
const said = (name) => name.replaceAll("_", " ").trim() || name;
const named = (name) => (/\d$/.test(said(name)) ? said(name) : `the ${said(name)}`);

// On the rug, on the sofa when they sit or lie and by it when they do not, at the door, else in: by the last word.
const ON = "balcony bench carpet floor landing lawn mat patio porch rug stairs staircase steps terrace".split(" ");
const FURNITURE = "armchair bed chair couch cot cushion futon mattress recliner settee sofa stool toilet wheelchair".split(" ");
const AT =
	"bookcase counter cupboard desk door doorway dresser entrance exit fireplace fridge gate hob oven piano shelf sink stove table tv wardrobe window workbench".split(" ");
const kind = (name) => name.toLowerCase().match(/[a-z]+/g)?.at(-1) ?? "";
const preposition = (name, rests = false) =>
	FURNITURE.includes(kind(name)) ? (rests ? "on" : "by") : ON.includes(kind(name)) ? "on" : AT.includes(kind(name)) ? "at" : "in";

// A camera whose name does not say what it shows shows "the view"; a single one that nobody named is of these.
const view = (camera) => (/^(cam(era)?(_?\d+)?)?$/.test(camera) ? (/\d$/.test(camera) ? `the view of ${named(camera)}` : "the view") : "");
const place = (camera) => (view(camera) ? `in ${view(camera)}` : `${preposition(camera)} ${named(camera)}`);
const the = (camera) => (view(camera) ? `The camera ${said(camera)}` : `The camera ${place(camera)}`);

const LATELY = 5;

function duration(seconds) {
	const minutes = Math.round(seconds / 60);
	if (seconds < 59.5) return plural(Math.max(0, Math.round(seconds)), "second");
	if (minutes < 60) return plural(minutes, "minute");
	const hours = Math.floor(minutes / 60);
	return minutes % 60 && hours < 10 ? `${plural(hours, "hour")} ${minutes % 60} min` : plural(hours, "hour");
}

const HANDS = {
	left_hand_raised: "raised the left hand",
	right_hand_raised: "raised the right hand",
	both_hands_raised: "raised both hands",
};

// What happened, to whom and where, in the words of `posed.messages.words`.
function sentence({ type, camera, person, zone, detail }) {
	const who = person === null ? "Somebody" : `Person ${person}`;
	const at = camera === zone || view(camera) === "the view" ? "" : ` ${place(camera)}`;
	const zoned = (between, rests) => (zone === null ? "" : `${between}${preposition(zone, rests)} ${named(zone)}`);
	const where = (rests) => `${zoned(" ", rests)}${at}`;
	const inZone = zone === null ? "a zone" : named(zone);
	const { how, by, seen, gesture } = detail;
	switch (type) {
		case "entered": {
			const came = view(camera) ? `into ${view(camera).replace("the ", "")}` : `${preposition(camera) === "in" ? "into" : "to"} ${named(camera)}`;
			return `${who} came ${came}${zoned(", ")}`;
		}
		case "left":
			return how === "lost" ? `${who} is not seen any more${where()}` : `${who} left ${view(camera) || named(camera)}`;
		case "zone_left":
			return how === "lost" ? `${who} is not seen any more${where()}` : `${who} left ${inZone}${at}`;
		case "zone_entered":
			return `${who} came to ${inZone}${at}`;
		case "posture":
			return `${who} ${posture(detail, zone, where, `${inZone}${at}`)}`;
		case "gesture":
			return `${who} ${HANDS[gesture] ?? "raised a hand"}${where()}`;
		case "fall":
			return `${who} has fallen${where()}${{ lying: ", seen lying", vanished: ", not seen any more" }[seen] ?? ""}`;
		case "fall_cleared": {
			const faller = person === null ? "whoever fell" : `person ${person}`;
			const why = { upright: `${faller} is up again`, left: `${faller} has left`, request: "somebody looks after it" }[by];
			return `The fall${where()} is over${why ? `: ${why}` : ""}`;
		}
		default:
			return type;
	}
}

function posture({ posture: now, before }, zone, where, there) {
	const was = (...those) => those.includes(before);
	if (now === "standing" && was("sitting", "lying")) {
		return `stood up${zone !== null && FURNITURE.includes(kind(zone)) ? ` from ${there}` : where()}`;
	}
	if (now === "sitting" && was("standing", "lying")) return `sat ${before === "standing" ? "down" : "up"}${where(true)}`;
	if (now === "lying" && was("standing", "sitting")) return `lay down${where(true)}`;
	return now ? `is ${now}${where(now !== "standing")}` : `changed posture${where()}`;
}

const SEEN = { standing: "standing", sitting: "sitting", lying: "lying", unknown: "" };

export default {
	name: said,
	duration,

	// Contact
	connecting: "connecting",
	live: "live",
	lost: "no contact",
	silent: "silent",
	removed: "removed",
	noContact: "There is no contact with posed.",
	title: (camera, device) => `${camera ? `${said(camera)} · ` : ""}${device} · posed`,
	titleOfFall: (cameras) => `FALL ${cameras.map(place).join(", ")}`,

	// What matters
	fall: (camera, zone) => `Fall ${place(camera)}${zone ? `, ${said(zone)}` : ""}`,
	fallSince: (clock, seconds) => (seconds < LATELY ? "Reported just now." : `Reported at ${clock}, ${duration(seconds)} ago.`),
	fallRests: ({ seen, lying_s: lying }) =>
		seen === "vanished" ? "They went down, and were not seen any more." : `They were seen lying${lying >= 1 ? ` for ${duration(lying)}` : ""}.`,
	fallNow: (postures) =>
		postures === null
			? "Nothing can be seen there now."
			: postures.includes("lying")
				? "Somebody is lying there now."
				: postures.length
					? "Nobody is seen lying there now, but somebody is there."
					: "Nobody is seen there now.",
	fallLook: "Look",
	fallCare: "I am looking after it",
	fallConfirm: (camera) => `End the alarm ${place(camera)}?`,
	fallConfirmText:
		"Do this once somebody is with them. It ends the alarm for everybody: here, in Home Assistant and wherever else it shows.",
	fallYes: "Yes, end the alarm",
	fallNo: "Not yet",
	alarm: (camera) => `Fall ${place(camera)}.`,
	alarmOver: (camera) => `The fall ${place(camera)} is over.`,
	soundOn: "Sound on",
	soundOff: "Sound off",
	soundWaits: "Sound on once you tap the page",
	soundHint: "Sounds while somebody lies fallen, as long as this page is open.",

	noticeLost: "There is no contact with posed. What this page shows is not of now; it keeps trying. Check that the device has power and is in the network.",
	noticeSilent: "posed has not said anything for a while. What this page shows is not of now.",
	noticeRemoved: (camera) => `There is no camera ${said(camera)} any more.`,
	noticeBroker: "Alarms do not get out: posed has no contact with its broker. Check that the broker runs; posed keeps falls and sends them as soon as it is back.",
	noticeEngine: (why) => `Nobody is watched: posed waits for what runs its model (${why}). Check that the Coral is plugged in.`,
	noticeModel: (model, warning) => `Model ${model}: ${warning}.`,
	noticeWaiting: (camera, why) => `${the(camera)} is not there: ${why}. Check its cable, its power and the network; posed keeps trying.`,
	noticeStarting: (camera, why) => `${the(camera)} is ${why}.`,
	noticePaused: (camera) => `${the(camera)} is paused: nobody is watched there.`,
	resume: "Watch again",
	pause: "Pause this camera",
	pauseConfirm: (camera) => `Stop watching ${place(camera)}?`,
	pauseText: "The camera is closed, and no fall is noticed there until somebody presses “Watch again”.",
	pauseYes: "Yes, pause it",
	noticeSight: {
		dark: (camera) => `It is too dark ${place(camera)} to see anybody. Leave a small light on, or use a camera that sees in the dark.`,
		covered: (camera) => `${the(camera)} is covered, so nobody can be seen. Look what is in front of it.`,
		frozen: (camera) => `The picture ${place(camera)} does not change any more. Unplug the camera and plug it in again.`,
	},

	// "Two people in the hall, one in the kitchen."
	summary(counts) {
		const there = counts.filter(([, count]) => count);
		const empty = counts.filter(([, count]) => count === 0);
		if (!counts.length) return "Nothing can be seen now.";
		if (!there.length) return `Nobody is ${empty.length > 3 ? "in any room" : listed(empty.map(([camera]) => place(camera))).replaceAll(" and ", " or ")}.`;
		const parts = there.map(([camera, count], index) => {
			const who = index ? small(number(count)) : `${number(count)} ${count === 1 ? "person" : "people"}`;
			return `${who} ${place(camera)}`;
		});
		return `${parts.join(", ")}.`;
	},

	// Cameras
	camerasTitle: "Cameras",
	all: "All cameras",
	tile(state) {
		if (state === null) return "not seen now";
		if (!state.length) return "Nobody";
		const known = Object.keys(SEEN).map((posture) => [posture, state.filter((one) => one === posture)]).filter(([posture, those]) => SEEN[posture] && those.length);
		const words = known.map(([posture, those]) => (those.length === state.length ? SEEN[posture] : `${small(number(those.length))} ${SEEN[posture]}`));
		return `${state.length === 1 ? "One person" : `${number(state.length)} people`}${words.length ? `, ${words.join(", ")}` : ""}`;
	},
	inZones: (zones) => `In ${listed(zones.map(said))}`,
	words: { ok: "", fall: "fall", paused: "paused", starting: "starting", waiting: "not there", dark: "dark", covered: "covered", frozen: "frozen" },
	picture: (camera) => `What the camera ${said(camera)} sees, with the people in it`,
	noPicture:
		"There is no picture because privacy.pictures is off: only figures are shown, and no image leaves the device. To draw zones all the same, set privacy.pictures to full in the file and reload, press “Keep a still” in Set up, and set it back. The still stays in this browser.",
	show: { skeletons: "Skeletons", boxes: "Boxes", names: "Names", zones: "Zones" },
	posture: SEEN,
	noFrames: "No picture arrives.",
	waitingFor: "Waiting for posed.",

	// Timeline
	timeline: "Timeline",
	today: "Today",
	night: "Last night",
	earlier: "Day before",
	later: "Day after",
	ranges: (begin, end) => `${begin} to ${end}`,
	kinds: { empty: "nobody", somebody: "somebody", lying: "lying", fall: "fall", blind: "not seen", paused: "paused", off: "posed was off" },
	timelineOff: "Nothing is kept: web.timeline_days is 0.",
	timelineFailed: (why) => `The timeline cannot be read: ${why}`,
	nothingKept: "Nothing is known of this time.",
	// One sentence for a camera: how long each kind was, s, and how often each began.
	timelineSaid(camera, lasted, began) {
		const parts = [];
		if (began.fall) parts.push(plural(began.fall, "fall"));
		if (lasted.lying >= 60) parts.push(`lying for ${duration(lasted.lying)}`);
		if (began.up) parts.push(`up ${began.up === 1 ? "once" : `${began.up} times`}`);
		else if (lasted.somebody >= 60) parts.push(`somebody there for ${duration(lasted.somebody)}`);
		if (!parts.length) parts.push(lasted.somebody || lasted.lying ? "somebody there briefly" : lasted.empty ? "nobody seen" : "nothing known");
		if (lasted.blind >= 60) parts.push(`not seen for ${duration(lasted.blind)}`);
		if (lasted.paused >= 60) parts.push(`paused for ${duration(lasted.paused)}`);
		if (lasted.off >= 60) parts.push(`posed off for ${duration(lasted.off)}`);
		if (!began.fall && (lasted.somebody || lasted.lying)) parts.push("no fall reported");
		return `${said(camera)}: ${parts.join(", ")}`;
	},
	bandTitle: (kind, begin, end) => `${kind}, ${begin} to ${end}`,
	events: "Events",
	noEvents: "Nothing happened.",
	moreEvents: (count) => `Only the newest ${count} are shown.`,
	groups: {
		fall: "Falls",
		presence: "Coming and going",
		posture: "Postures",
		zone: "Zones",
		gesture: "Gestures",
	},
	event: (event) => `${sentence(event)}${event.detail.test ? " (a test)" : ""}`,

	// Technical figures
	figures: "Technical figures",
	hideFigures: "Hide technical figures",
	stagesTitle: "Time per frame",
	stages: {
		capture: "wait for camera", letterbox: "resize", invoke: "inference", turned: "rotated crop", decode: "decode",
		follow: "follow", encode: "message", publish: "publish", look: "plan next crop",
	},
	ms: (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`,
	facts: {
		people: "People", fps: "Frames per second", latency: "Latency", camera: "Camera", dropped: "Dropped frames",
		engine: "Engine", temperature: "Temperature", model: "Model", version: "Version", unknown: "unknown",
	},

	login: {
		why: "This page shows what the cameras see. Enter the token in web.token; you are asked only once.",
		label: "Token",
		framed:
			"This browser keeps no sign-in here, since the page around this frame is of another site. Open the live view in a tab of its own; docs/web.md says what else helps.",
		enter: "Sign in",
	},

	// Set-up
	setUp: "Set up",
	leaveSetUp: "Close set-up",
	setup: {
		title: "Set-up",
		parts: { zones: "Zones", settings: "Settings", mounting: "Mounting" },
		leave: {
			title: "Close without saving?",
			text: "The zones have changes that are not saved.",
			yes: "Close, and forget the changes",
		},
		no: "No",

		zone: (name) => `Zone ${said(name)}`,
		canvas: (camera) => `Zones of the camera ${said(camera)}`,
		newZone: "New zone",
		addCorner: "Add corner",
		removeCorner: "Remove corner",
		finish: "Close zone",
		save: "Save",
		discard: "Discard",
		delete: "Delete",
		name: "Name",
		kind: "Kind",
		anchor: "Inside with",
		kinds: { normal: "normal", resting: "resting", exclude: "exclude", exit: "exit" },
		about: {
			normal: "Says who is there: a room, a table.",
			resting: "A bed or a sofa: lying down there is no fall.",
			exclude: "A television or a mirror: nobody there counts.",
			exit: "A door: who is lost there has left.",
		},
		anchors: { feet: "feet", hips: "hips", any: "any part" },
		hintNone: "Draw a resting zone over each bed and sofa, and an exit zone over each door.",
		hintZones: "Drag a corner, or a whole zone; drag a dot between two corners to add a corner.",
		hintDrawing: "Tap the corners in the picture, one after the other; tap the first one again to close the zone.",
		keys:
			"With keys, in the picture: N and P choose a corner, arrow keys move it (with Shift farther), Insert adds one, Delete removes it, Enter closes a new zone, Escape lets go, Page Down chooses the next zone.",
		threeCorners: "A zone needs three corners.",
		closed: (name, corners) => `${said(name)} is closed, with ${corners} corners.`,
		removed: (name) => `${said(name)} is gone once you save.`,
		twice: (name) => `Two zones are called ${name}.`,
		saved: "Saved.",
		where(name, corner, corners, x, y) {
			const what = corner ? `Corner ${corner} of ${corners} of ${said(name)}` : `All of ${said(name)}, its first corner`;
			return `${what}: ${percent(x)} from the left, ${percent(y)} from the top.`;
		},

		keepStill: "Keep a still",
		deleteStill: "Delete the still",
		stillNone: "A still lets you draw zones when pictures are off. It stays in this browser.",
		stillOf: (day, clock) => `There is a still of ${day}, ${clock}, in this browser alone. Where pictures are off, zones are drawn on it.`,
		stillRefused: "This browser keeps nothing for this page, so there is no still. A private window, or a frame, may be why.",

		settingsHint: "What you change holds at once, for this camera alone, and after a restart too.",
		settingsFailed: "The settings cannot be read. Is there contact with posed?",
		groups: { falls: "Falls", people: "Finding people", presence: "Coming, going and zones", postures: "Postures", gestures: "Raised hands" },
		defaultIs: (value) => `Default: ${value}.`,
		takeBack: (value) => `Back to ${value}`,
		takeBackOf: (name, value) => `${name}: back to ${value}`,
		value: (name, value) => (typeof value === "boolean" ? (value ? "on" : "off") : name.endsWith("_s") ? `${value} s` : percent(value)),
		// Their names, and what more or less of them means.
		settings: {
			"people.falls": ["Report falls", "Off, nobody is told of a fall before this camera."],
			"people.fall_confirm_s": ["Report a fall when still down after", "Shorter tells you sooner; longer leaves time to get up again."],
			"people.fall_within_s": ["A fall takes at most", "Who goes down more slowly has lain down. Longer also takes slow falls for falls, and some lying down."],
			"decode.score_threshold": ["How sure posed must be of a person", "Lower finds more people, and more things that are not people; higher misses some."],
			"decode.keypoint_threshold": ["How sure posed must be of a joint", "Lower shows more joints, and more of them in the wrong place."],
			"people.lost_after_s": ["Gone when not seen for", "Longer keeps who is hidden for a moment; shorter notices sooner that somebody left."],
			"people.presence": ["Report coming and going", "Off, there are no such events."],
			"people.zone_enter_s": ["In a zone after", "Longer leaves out who only passes through."],
			"people.zone_leave_s": ["Out of a zone after", "Longer leaves out who steps out for a moment."],
			"people.postures": ["Report postures", "Off, there are no such events."],
			"people.posture_hold_s": ["A posture counts after", "Longer leaves out what lasts only a moment; shorter tells sooner."],
			"people.gestures": ["Report raised hands", "Off, there are no such events."],
			"people.gesture_hold_s": ["A hand counts as raised after", "Longer leaves out waving and reaching; shorter tells sooner."],
		},
		fallsOff: {
			title: "Report no falls here?",
			text: "Nobody will be told of a fall before this camera until this is on again.",
			yes: "Yes, report none",
		},
		try: "Send a test alarm",
		tryConfirm: "Send a test alarm?",
		tryText:
			"A fall that is marked as a test goes to everybody and everything that gets alarms of this camera: phones, Home Assistant, lights. No fall is shown here.",
		tryYes: "Yes, send it",
		tried: (clock, broker) =>
			broker
				? `Sent at ${clock}. It is in the list of events on this page, as a test; now look whether it came where your alarms go.`
				: `It waits: posed has no contact with its broker, and sends it as soon as it is back (${clock}).`,

		mounting: {
			titles: { light: "Light", pitch: "Direction", height: "Height", size: "Distance", feet: "Feet", heads: "Heads" },
			how: { ok: "good", mend: "to mend", wait: "not known yet" },
			walk: "Walk through the whole room, to its far end and back, and leave it twice: that shows how the camera hangs.",
			mend: "Something is to be mended; then walk through the room once more.",
			good: "The camera hangs well.",
			again: "Look anew",
			dim: "It is rather dark: more light finds people more surely.",
			lightOk: "There is enough light.",
			lightUnknown: "Nothing is known of the light.",
			down: (deg) => `It looks down by about ${deg.toFixed(0)}°.`,
			tooSteep: "That is too steep: postures are not told, and falls may be missed. Mount it lower, or let it look more level.",
			steep: "That works, but somebody on a chair who faces it may look as if they stood.",
			pitchUnknown: "How far it looks down is learned from people who are seen upright, three times for five seconds.",
			high: (metres) => `It seems to hang about ${metres.toFixed(1)} m high.`,
			wrongHeight: (isHigh, least, most) => `That is too ${isHigh ? "high" : "low"}: mount it ${least} to ${most} m above the floor.`,
			heightNeedsPitch: "This is known once the direction is.",
			tall: (share) => `Where they were farthest away, people were ${percent(share, 0)} of the picture's height.`,
			tooSmall: (least) =>
				`Who falls there and is lost from sight is not reported, below ${percent(least, 0)}: bring the camera nearer, or use a longer lens.`,
			unseen: "Not enough has been seen yet of people who stand, from head to feet.",
			feet: {
				ok: "Feet are in the picture.",
				cut: (share) => `In ${percent(share, 0)} of the looks, feet are below the picture. Tilt the camera down a little, or move it back.`,
			},
			heads: {
				ok: "Heads are in the picture.",
				cut: (share) => `In ${percent(share, 0)} of the looks, heads are above the picture. Tilt the camera up a little, or move it back.`,
			},
		},
	},
};
