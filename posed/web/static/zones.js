// Zones drawn and changed with a mouse or a finger. The daemon judges them; here nothing is known of its rules
// but that zones are kept by their names.

import { ZONE_COLOURS } from "/static/draw.js";

const KINDS = { normal: "normal", resting: "resting (bed)", exclude: "exclude (TV)", exit: "exit (door)" };
const ANCHORS = { feet: "feet", hips: "hips", any: "any part" };
const MOUSE_REACH_PX = 10;
const FINGER_REACH_PX = 22;

const byId = (id) => document.getElementById(id);

export class Editor {
  // `changed` is called when there is something to draw anew.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.draft = null;
    this.kept = [];
    this.camera = "";
    byId("edit").addEventListener("click", () => (this.draft ? this.leave() : this.begin()));
    byId("add").addEventListener("click", () => this.add());
    byId("finish").addEventListener("click", () => this.finish());
    byId("remove-corner").addEventListener("click", () => this.removeCorner());
    byId("save").addEventListener("click", () => this.save());
    byId("copy").addEventListener("click", () => this.copy());
    byId("discard").addEventListener("click", () => this.leave());
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.dragged = null));
    canvas.addEventListener("dblclick", () => this.draft?.drawing && this.finish());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // Whose zones these are.
  of(camera) {
    this.camera = camera;
    this.kept = [];
    if (this.draft) this.leave();
  }

  // What the daemon has, as in the file: by name.
  take(zones) {
    this.kept = Object.entries(zones).map(([name, zone]) => ({ name, ...zone }));
  }

  begin() {
    this.draft = { zones: structuredClone(this.kept), selected: this.kept.length ? 0 : -1, corner: -1, drawing: false };
    this.say("");
    this.show();
  }

  leave() {
    this.draft = null;
    this.show();
  }

  add() {
    if (this.draft.drawing && !this.finish()) return;
    const names = new Set(this.draft.zones.map((zone) => zone.name));
    let number = 1;
    while (names.has(`zone_${number}`)) number += 1;
    this.draft.zones.push({ name: `zone_${number}`, polygon: [], kind: "normal", anchor: "feet" });
    Object.assign(this.draft, { selected: this.draft.zones.length - 1, corner: -1, drawing: true });
    this.show();
  }

  // A zone of fewer than three corners is none yet.
  finish() {
    const zone = this.zone();
    if (!zone || zone.polygon.length < 3) {
      this.say("A zone needs three corners: tap where they are.");
      return false;
    }
    this.draft.drawing = false;
    this.say("");
    this.show();
    return true;
  }

  remove(index) {
    this.draft.zones.splice(index, 1);
    Object.assign(this.draft, { selected: this.draft.zones.length - 1, corner: -1, drawing: false });
    this.show();
  }

  removeCorner() {
    const { draft } = this;
    if (draft.corner < 0 || this.zone().polygon.length <= 3) return;
    this.zone().polygon.splice(draft.corner, 1);
    draft.corner = -1;
    this.show();
  }

  zone() {
    return this.draft?.zones[this.draft.selected];
  }

  key(event) {
    if (!this.draft || event.target.matches("input, select, textarea")) return;
    if (event.key === "Enter" && this.draft.drawing && event.target === document.body) this.finish();
    if (event.key === "Delete" || event.key === "Backspace") this.removeCorner();
    if (event.key === "Escape" && this.draft.drawing) this.remove(this.draft.selected);
  }

  // Fractions of the frame, never outside it.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  }

  press(event) {
    if (!this.draft || event.button > 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const place = this.place(event);
    const near = this.near(event);
    if (this.draft.drawing) this.extend(place, near(this.zone().polygon[0]));
    else this.grab(place, near);
    this.show();
  }

  extend(place, atFirst) {
    const { polygon } = this.zone();
    if (atFirst && polygon.length > 2) {
      this.finish();
      return;
    }
    if (polygon.some(([x, y]) => x === place[0] && y === place[1])) return;
    polygon.push(place);
    this.draft.corner = polygon.length - 1;
    this.dragged = { corner: this.draft.corner };
  }

  // A corner of the chosen zone, else the middle of one of its sides, else a zone.
  grab(place, near) {
    const { draft } = this;
    const polygon = this.zone()?.polygon ?? [];
    let corner = polygon.findIndex(near);
    if (corner < 0) {
      const side = polygon.findIndex(([x, y], index) => {
        const [a, b] = polygon[(index + 1) % polygon.length];
        return near([(x + a) / 2, (y + b) / 2]);
      });
      if (side >= 0) polygon.splice((corner = side + 1), 0, place);
    }
    draft.corner = corner;
    if (corner >= 0) {
      this.dragged = { corner };
      return;
    }
    const found = draft.zones.findLastIndex((zone) => inside(zone.polygon, place));
    draft.selected = found;
    if (found >= 0) this.dragged = { from: place, polygon: structuredClone(draft.zones[found].polygon) };
  }

  near(event) {
    const box = this.canvas.getBoundingClientRect();
    const reach = event.pointerType === "mouse" ? MOUSE_REACH_PX : FINGER_REACH_PX;
    return (point) =>
      point !== undefined &&
      Math.hypot(box.left + point[0] * box.width - event.clientX, box.top + point[1] * box.height - event.clientY) <= reach;
  }

  drag(event) {
    if (!this.draft || !this.dragged) return;
    const place = this.place(event);
    if (this.dragged.corner === undefined) this.move(place);
    else this.zone().polygon[this.dragged.corner] = place;
    this.changed();
  }

  // The whole zone, as far as the frame goes.
  move(place) {
    const { from, polygon } = this.dragged;
    const by = [0, 1].map((axis) => {
      const values = polygon.map((point) => point[axis]);
      return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), place[axis] - from[axis]));
    });
    this.zone().polygon = polygon.map((point) => point.map((value, axis) => Math.round((value + by[axis]) * 1000) / 1000));
  }

  // By name, as the file has them; nothing where two are called the same.
  named() {
    const zones = this.draft.zones.map(({ name, ...zone }) => [name.trim(), zone]);
    const names = zones.map(([name]) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) this.say(`Two zones are called ${twice}.`);
    return twice === undefined ? Object.fromEntries(zones) : null;
  }

  async save() {
    if (this.draft.drawing && !this.finish()) return;
    const zones = this.named();
    if (!zones) return;
    byId("save").disabled = true;
    try {
      const answer = await fetch("/zones", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ camera: this.camera, zones }),
      });
      if (answer.ok) {
        this.take(zones);
        this.leave();
        return;
      }
      this.say(answer.status === 422 ? (await answer.json()).error : await answer.text());
    } catch {
      this.say("Not saved: no contact with the daemon.");
    } finally {
      byId("save").disabled = false;
    }
  }

  async copy() {
    const zones = this.named();
    if (!zones) return;
    const text = yaml(this.camera, zones);
    byId("yaml").value = text;
    byId("yaml").hidden = byId("yaml-label").hidden = false;
    byId("yaml").select();
    this.say("");
    // Browsers give the clipboard to https and this machine only; elsewhere it is selected.
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    byId("yaml-label").firstChild.textContent = copied ? "Copied. Paste it into the file's " : "Copy this into the file's ";
  }

  say(problem) {
    byId("problem").textContent = problem;
  }

  show() {
    const { draft } = this;
    byId("editor").hidden = !draft;
    byId("edit").textContent = draft ? "Close editor" : "Edit zones";
    byId("yaml").hidden = byId("yaml-label").hidden = true;
    this.canvas.classList.toggle("editing", Boolean(draft));
    this.dragged = draft ? this.dragged : null;
    if (draft) {
      byId("finish").hidden = !draft.drawing;
      byId("remove-corner").hidden = draft.drawing || draft.corner < 0 || this.zone().polygon.length <= 3;
      byId("hint").textContent = draft.drawing
        ? "Tap the corners in the picture, one after the other; tap the first one again to close the zone."
        : "Drag corners or a whole zone; drag a dot between two corners to add one.";
      this.list();
    }
    this.changed();
  }

  list() {
    const rows = this.draft.zones.map((zone, index) => {
      const row = document.createElement("li");
      row.style.setProperty("--zone", ZONE_COLOURS[zone.kind]);
      row.classList.toggle("selected", index === this.draft.selected);
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "Delete";
      remove.addEventListener("click", () => this.remove(index));
      row.append(this.nameField(zone), this.choice(zone, "kind", KINDS), this.choice(zone, "anchor", ANCHORS), remove);
      row.addEventListener("focusin", () => this.choose(index));
      return row;
    });
    byId("zones").replaceChildren(...rows);
  }

  choose(index) {
    if (this.draft.drawing || index === this.draft.selected) return;
    Object.assign(this.draft, { selected: index, corner: -1 });
    [...byId("zones").children].forEach((row, at) => row.classList.toggle("selected", at === index));
    byId("remove-corner").hidden = true;
    this.changed();
  }

  nameField(zone) {
    const field = document.createElement("input");
    field.value = zone.name;
    field.maxLength = 64;
    field.spellcheck = false;
    field.autocapitalize = "off";
    field.addEventListener("input", () => {
      zone.name = field.value;
      this.changed();
    });
    return labelled("Name", field, "name");
  }

  choice(zone, key, choices) {
    const field = document.createElement("select");
    for (const [value, text] of Object.entries(choices)) field.append(new Option(text, value));
    field.value = zone[key];
    field.addEventListener("change", () => {
      zone[key] = field.value;
      field.closest("li").style.setProperty("--zone", ZONE_COLOURS[zone.kind]);
      this.changed();
    });
    return labelled(key === "kind" ? "Kind" : "Inside with", field, key);
  }
}

function labelled(text, field, className) {
  const label = document.createElement("label");
  label.className = className;
  label.append(text, field);
  return label;
}

// Whether a ray to the right meets an odd number of sides.
function inside(polygon, [x, y]) {
  return polygon.reduce((odd, [ax, ay], index) => {
    const [bx, by] = polygon[(index + 1) % polygon.length];
    return ay <= y !== by <= y && x < ax + ((y - ay) / (by - ay)) * (bx - ax) ? !odd : odd;
  }, false);
}

function yaml(camera, zones) {
  const lines = ["cameras:", `  ${camera}:`, "    zones:"];
  for (const [name, { polygon, kind, anchor }] of Object.entries(zones)) {
    lines.push(`      "${name}":`, `        polygon: ${JSON.stringify(polygon)}`, `        kind: ${kind}`, `        anchor: ${anchor}`);
  }
  return `${lines.join("\n")}\n`;
}
