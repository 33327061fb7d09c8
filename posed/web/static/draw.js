// Draws a frame and what was found in it on the canvas. Places come in px of the frame, zones in fractions of it.

const COLOURS = ["#ffc400", "#00c8ff", "#ff4081", "#76ff03", "#d580ff", "#ff7043"];
export const ZONE_COLOURS = { normal: "#2fc4b2", resting: "#9b8cff", exclude: "#9aa7b4", exit: "#f2b34a" };
const SHADOW = "rgba(0, 0, 0, 0.75)";

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.size = { width: 640, height: 480 };
  }

  // What is seen now: `scene` has frame, bitmap, people, zones, draft and what to show.
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
    } else if (scene.black) {
      context.fillStyle = "#000";
      context.fillRect(0, 0, width, height);
    }
    this.labels = [];
    if (scene.draft) scene.draft.zones.forEach((zone, index) => this.zone(zone, scene.draft, index));
    else if (scene.show.zones) scene.zones.forEach((zone) => this.zone(zone));
    for (const person of scene.people) this.person(person, scene);
  }

  // As wide as there is room, and no higher than the window; sharp on any screen.
  fit() {
    const room = this.canvas.parentElement.clientWidth;
    const highest = Math.max(200, window.innerHeight * 0.78);
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

  person(person, { show, keypoints, edges }) {
    const colour = COLOURS[(person.id - 1) % COLOURS.length];
    if (show.boxes && person.box) this.box(person.box, colour);
    const places = keypoints.map((name) => person.keypoints[name] && this.within(person.keypoints[name]));
    if (show.skeletons) this.skeleton(places, edges, colour);
    if (show.names && person.box) {
      const parts = [`${person.id}`, person.posture === "unknown" ? "" : person.posture, ...person.zones];
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
    const line = Math.max(2, this.width / 260);
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
    for (const point of points) if (point) this.dot(point.x * scale, point.y * scale, line * 1.2, colour);
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

  // A text whose lower left corner is at (x, y); moved where it would leave the picture or lie on another.
  label(text, x, y, colour) {
    const { context } = this;
    context.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
    const [width, height] = [context.measureText(text).width + 12, 20];
    const place = { x: Math.max(2, Math.min(x, this.width - width - 2)), y: Math.max(2, y - height), width, height };
    for (let tries = 0; tries < 12 && this.labels.some((other) => overlap(place, other)); tries += 1) {
      place.y += height + 2;
    }
    place.y = Math.min(place.y, this.height - height - 2);
    this.labels.push(place);
    context.fillStyle = SHADOW;
    context.beginPath();
    context.roundRect(place.x, place.y, width, height, 5);
    context.fill();
    context.fillStyle = colour;
    context.textBaseline = "middle";
    context.fillText(text, place.x + 6, place.y + height / 2 + 0.5);
  }

  zone(zone, draft, index) {
    if (!zone.polygon.length) return;
    const { context } = this;
    const colour = ZONE_COLOURS[zone.kind];
    const open = draft && draft.drawing && index === draft.selected;
    const chosen = draft && index === draft.selected;
    const places = zone.polygon.map(([x, y]) => [x * this.width, y * this.height]);
    context.beginPath();
    places.forEach(([x, y], corner) => (corner ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (!open) context.closePath();
    context.lineJoin = "round";
    context.globalAlpha = chosen ? 0.3 : 0.16;
    context.fillStyle = colour;
    if (places.length > 2) context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 4;
    context.strokeStyle = "rgba(0, 0, 0, 0.45)";
    context.stroke();
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.stroke();
    if (chosen) this.handles(places, draft, colour, open);
    const top = places.reduce((best, place) => (place[1] < best[1] ? place : best));
    this.label(zone.name, top[0] + 6, top[1] + 26, colour);
  }

  // Corners to drag, and between them smaller ones that make another corner.
  handles(places, draft, colour, open) {
    places.forEach(([x, y], corner) => {
      const [following] = [places[(corner + 1) % places.length]];
      if (!open) this.dot((x + following[0]) / 2, (y + following[1]) / 2, 4, "rgba(255, 255, 255, 0.8)");
      this.dot(x, y, corner === draft.corner ? 9 : 7, corner === draft.corner ? "#fff" : colour, "#fff");
    });
  }
}

function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
