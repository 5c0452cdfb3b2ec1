// The maps: one SVG per encoder, colour and shape by label, the nearest point under the pointer.
"use strict";

const COLOURS = 7; // --c0 to --c6 of the style sheet
const SHAPES = [
  "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z",
  "M-4.4-4.4H4.4V4.4H-4.4Z",
  "M0-5.6L5.4 4H-5.4Z",
  "M0-6L6 0L0 6L-6 0Z",
  "M0 5.6L5.4-4H-5.4Z",
  "M-1.8-5.4H1.8V-1.8H5.4V1.8H1.8V5.4H-1.8V1.8H-5.4V-1.8H-1.8Z",
  "M-5-2.6L-2.6-5L0-2.4L2.6-5L5-2.6L2.4 0L5 2.6L2.6 5L0 2.4L-2.6 5L-5 2.6L-2.4 0Z",
  "M0-6.4L1.6-2H6L2.4.8L3.8 5.4L0 2.6L-3.8 5.4L-2.4.8L-6-2H-1.6Z",
  "M-5.6 0L4-5.4V5.4Z",
  "M5.6 0L-4-5.4V5.4Z",
];
const REACH = 24; // pixels around the pointer in which a point is found
const MARGIN = 16;
const SVG = "http://www.w3.org/2000/svg";
const [ID, NAME, ARTIST, PATH, LABEL, SOURCE] = Array(6).keys();

const { tracks, maps } = melgraph.data();

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function mark(label) {
  if (label < 0) return { d: SHAPES[0], style: "fill: var(--unlabelled)" };
  return { d: SHAPES[label % SHAPES.length], style: `fill: var(--c${label % COLOURS})` };
}

class ClusterMap {
  constructor(root) {
    const { labels, points } = maps[root.dataset.map];
    this.labels = labels;
    this.points = points.map(([track, x, y, label]) => ({ track, x, y, label }));
    this.hidden = new Set();
    this.at = null; // the point that is pointed at
    this.plane = root.querySelector(".plane");
    this.hint = root.querySelector(".hint");
    this.drawLegend(root.querySelector(".legend"));
    new ResizeObserver(() => this.draw()).observe(this.plane);
    this.plane.addEventListener("pointermove", (event) => this.point(this.nearest(event)));
    this.plane.addEventListener("pointerleave", () => this.point(null));
    this.plane.addEventListener("click", (event) => {
      this.point(this.nearest(event));
      this.play();
    });
    this.plane.addEventListener("keydown", (event) => this.key(event));
  }

  drawLegend(legend) {
    const counts = new Map();
    for (const { label } of this.points) counts.set(label, (counts.get(label) ?? 0) + 1);
    const entries = this.labels.map((name, label) => [label, name]);
    if (counts.has(-1)) entries.push([-1, "no label"]);
    for (const [label, name] of entries) {
      const picture = svg("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" });
      picture.append(svg("path", mark(label)));
      const button = melgraph.element("button", { type: "button", "aria-pressed": "true" });
      button.append(picture, ` ${name} `, melgraph.element("small", {}, String(counts.get(label) ?? 0)));
      button.addEventListener("click", () => {
        const hide = !this.hidden.has(label);
        if (hide) this.hidden.add(label);
        else this.hidden.delete(label);
        button.setAttribute("aria-pressed", String(!hide));
        this.point(null);
        this.draw();
      });
      legend.append(button);
    }
  }

  draw() {
    const width = this.plane.clientWidth;
    if (width <= 2 * MARGIN) return; // not laid out yet
    const across = Math.max(...this.points.map((p) => p.x), 0.05);
    const up = Math.max(...this.points.map((p) => p.y), 0.05);
    const tallest = Math.min(innerHeight * 0.75, 620);
    const scale = Math.min((width - 2 * MARGIN) / across, (tallest - 2 * MARGIN) / up);
    const height = up * scale + 2 * MARGIN;
    const left = (width - across * scale) / 2;
    const canvas = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const size = Math.min(1.2, Math.max(0.55, 18 / Math.sqrt(this.points.length)));
    for (const point of this.points) {
      point.px = left + point.x * scale;
      point.py = height - MARGIN - point.y * scale;
      if (this.hidden.has(point.label)) continue;
      const place = `translate(${point.px.toFixed(1)} ${point.py.toFixed(1)}) scale(${size.toFixed(2)})`;
      canvas.append(svg("path", { ...mark(point.label), transform: place }));
    }
    this.ring = svg("circle", { r: 9, class: "ring", visibility: "hidden" });
    canvas.append(this.ring);
    this.plane.replaceChildren(canvas);
    this.point(this.at);
  }

  nearest(event) {
    const box = this.plane.firstElementChild.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    let best = null;
    let distance = REACH ** 2;
    for (const point of this.points) {
      if (this.hidden.has(point.label)) continue;
      const d = (point.px - x) ** 2 + (point.py - y) ** 2;
      if (d < distance) [best, distance] = [point, d];
    }
    return best;
  }

  point(point) {
    this.at = point;
    this.plane.classList.toggle("pointing", point !== null);
    if (point === null) {
      this.ring.setAttribute("visibility", "hidden");
      return;
    }
    this.ring.setAttribute("visibility", "visible");
    this.ring.setAttribute("cx", point.px);
    this.ring.setAttribute("cy", point.py);
    this.hint.textContent = this.title(point);
  }

  title({ track, label }) {
    const found = tracks[track];
    const parts = [found[NAME], found[ARTIST], label < 0 ? "" : this.labels[label]];
    return parts.filter(Boolean).join(" – ");
  }

  play() {
    if (this.at === null) return;
    const found = tracks[this.at.track];
    if (found[SOURCE] === null) {
      this.hint.textContent = `${this.title(this.at)}: no longer in the library`;
      return;
    }
    melgraph.play(document.body.dataset.library + found[SOURCE], this.title(this.at));
  }

  // The nearest point in the direction of an arrow key.
  key(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.play();
      return;
    }
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!direction) return;
    event.preventDefault();
    const visible = this.points.filter((p) => !this.hidden.has(p.label));
    if (this.at === null) {
      this.point(visible[0] ?? null);
      return;
    }
    let best = null;
    let cost = Infinity;
    for (const p of visible) {
      const [dx, dy] = [p.px - this.at.px, p.py - this.at.py];
      const along = dx * direction[0] + dy * direction[1];
      const aside = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
      if (along > 0 && along + 2 * aside < cost) [best, cost] = [p, along + 2 * aside];
    }
    if (best !== null) this.point(best);
  }
}

for (const root of document.querySelectorAll("[data-map]")) new ClusterMap(root);
