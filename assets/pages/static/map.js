// A map of points in SVG. Points are drawn once, and then moved and coloured; the pointer selects one.
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
const REACH = 24; // largest distance in pixels between the pointer and the point it selects
const MARGIN = 16;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Shape and colour of a group; -1 means "in no group".
function mark(group) {
  if (group < 0) return { d: SHAPES[0], style: "fill: var(--unlabelled)" };
  return { d: SHAPES[group % SHAPES.length], style: `fill: var(--c${group % COLOURS})` };
}

// Points `{x, y, group, shown}`, x and y from 0 to 1 with y up. `listeners` has two
// functions: `pointed(point)`, where the point may be null, and `chosen(point)`.
class Plane {
  constructor(root, points, listeners) {
    this.root = root;
    this.points = points;
    this.listeners = listeners;
    this.at = null; // the point under the pointer
    this.picked = null; // the point that was selected last
    this.canvas = svg("svg", { "aria-hidden": "true" });
    for (const point of points) point.mark = svg("path", {});
    this.rings = ["ring picked", "ring"].map((name) => svg("circle", { r: 9, class: name, visibility: "hidden" }));
    this.canvas.append(...points.map((point) => point.mark), ...this.rings);
    root.replaceChildren(this.canvas);
    new ResizeObserver(() => this.place()).observe(root);
    root.addEventListener("pointermove", (event) => this.point(this.nearest(event)));
    root.addEventListener("pointerleave", () => this.point(null));
    root.addEventListener("click", (event) => {
      this.point(this.nearest(event));
      this.choose();
    });
    root.addEventListener("keydown", (event) => this.key(event));
  }

  // Call after colours or visibility changed.
  paint() {
    for (const { mark: path, group, shown } of this.points) {
      for (const [name, value] of Object.entries(mark(group))) path.setAttribute(name, value);
      path.setAttribute("visibility", shown ? "visible" : "hidden");
    }
    if (this.at !== null && !this.at.shown) this.point(null);
    this.ring(0, this.picked);
  }

  // Call after the coordinates or the size of the page changed.
  place() {
    const width = this.root.clientWidth;
    if (width <= 2 * MARGIN) return; // not laid out yet
    const across = Math.max(...this.points.map((p) => p.x), 0.05);
    const up = Math.max(...this.points.map((p) => p.y), 0.05);
    const tallest = Math.min(innerHeight * 0.75, 620);
    const scale = Math.min((width - 2 * MARGIN) / across, (tallest - 2 * MARGIN) / up);
    const height = up * scale + 2 * MARGIN;
    const left = (width - across * scale) / 2;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
      this.canvas.setAttribute(name, value);
    }
    const size = Math.min(1.2, Math.max(0.55, 18 / Math.sqrt(this.points.length))).toFixed(2);
    for (const point of this.points) {
      point.px = left + point.x * scale;
      point.py = height - MARGIN - point.y * scale;
      point.mark.setAttribute("transform", `translate(${point.px.toFixed(1)} ${point.py.toFixed(1)}) scale(${size})`);
    }
    this.ring(0, this.picked);
    this.ring(1, this.at);
  }

  nearest(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    let best = null;
    let distance = REACH ** 2;
    for (const point of this.points) {
      if (!point.shown) continue;
      const d = (point.px - x) ** 2 + (point.py - y) ** 2;
      if (d < distance) [best, distance] = [point, d];
    }
    return best;
  }

  ring(number, point) {
    const ring = this.rings[number];
    const visible = point !== null && point.shown;
    ring.setAttribute("visibility", visible ? "visible" : "hidden");
    if (!visible) return;
    ring.setAttribute("cx", point.px);
    ring.setAttribute("cy", point.py);
  }

  point(point) {
    this.at = point;
    this.root.classList.toggle("pointing", point !== null);
    this.ring(1, point);
    this.listeners.pointed(point);
  }

  choose() {
    if (this.at === null) return;
    this.picked = this.at;
    this.ring(0, this.picked);
    this.listeners.chosen(this.picked);
  }

  // Keyboard: an arrow key moves to the nearest point in its direction, Enter selects.
  key(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose();
      return;
    }
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!direction) return;
    event.preventDefault();
    const visible = this.points.filter((p) => p.shown);
    if (this.at === null) {
      this.point(this.picked?.shown ? this.picked : (visible[0] ?? null));
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
