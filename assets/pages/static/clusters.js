// The maps of the encoders, with their selection of method, colours and tracks; and the selected track.
"use strict";

const [ID, NAME, ARTIST, PATH, LABEL, SOURCE] = Array(6).keys();
const METHODS = ["PCA", "t-SNE", "UMAP"]; // in the order of their coordinates
const FIRST = "UMAP";
const { tracks, parts, maps } = melgraph.data();
const FIELDS = ["track", "label", "part", "kmeans", "mixture", "hdbscan", "tile", "p", "nearest"];

// What points can be coloured by: field, title, names of the groups, and name of the points in no group.
function colourings(map) {
  const numbers = (field) => {
    const most = Math.max(-1, ...map.points.map((p) => p[FIELDS.indexOf(field)] ?? -1));
    return Array.from({ length: most + 1 }, (_, n) => `cluster ${n + 1}`);
  };
  return [
    ["label", "label", map.labels, "no label"],
    ["kmeans", "k-means cluster", numbers("kmeans"), "not clustered"],
    ["mixture", "Gaussian mixture cluster", numbers("mixture"), "not clustered"],
    ["hdbscan", "density cluster (HDBSCAN)", numbers("hdbscan"), "in no cluster"],
    ["part", "split, or outside the dataset", parts, "no split"],
  ].filter(([, , names]) => names.length > 0);
}

class ClusterMap {
  constructor(root) {
    this.root = root;
    this.map = maps[root.dataset.map];
    this.colourings = colourings(this.map);
    this.hidden = new Map(); // field -> hidden groups
    this.words = [];
    this.points = this.map.points.map((row) => {
      const point = Object.fromEntries(FIELDS.map((name, n) => [name, row[n]]));
      for (const [field] of this.colourings) point[field] ??= -1;
      const track = tracks[point.track];
      point.text = melgraph.fold([track[NAME], track[ARTIST], track[PATH]].filter(Boolean).join(" "));
      return { ...point, places: row.slice(FIELDS.length), shown: true };
    });
    this.find = (selector) => root.querySelector(selector);
    this.hint = this.find(".hint");
    this.plane = new Plane(this.find(".plane"), this.points, {
      pointed: (point) => point && (this.hint.textContent = this.title(point)),
      chosen: (point) => this.choose(point),
    });
    this.offer(this.find("[data-method]"), METHODS, METHODS.indexOf(FIRST), (n) => this.place(n));
    const titles = this.colourings.map(([, title]) => title);
    this.offer(this.find("[data-colour]"), titles, 0, (n) => this.colour(n));
    this.find("[data-find]").addEventListener("input", (event) => {
      this.words = melgraph.fold(event.target.value).split(/\s+/).filter(Boolean);
      this.filter();
    });
    this.find("[data-all]").addEventListener("click", () => this.showAll());
  }

  // Fill a select element; call `act` for its first option and after every change.
  offer(select, names, first, act) {
    select.append(...names.map((name, n) => new Option(name, n, n === first, n === first)));
    select.disabled = names.length < 2;
    select.addEventListener("change", () => act(Number(select.value)));
    if (names.length) act(first);
  }

  place(method) {
    for (const point of this.points) {
      [point.x, point.y] = point.places.slice(2 * method, 2 * method + 2);
    }
    this.plane.place();
  }

  colour(number) {
    const [field, , names, none] = this.colourings[number];
    this.field = field;
    for (const point of this.points) point.group = point[field];
    this.drawLegend(names, none);
    this.filter();
  }

  drawLegend(names, none) {
    const counts = new Map();
    for (const { group } of this.points) counts.set(group, (counts.get(group) ?? 0) + 1);
    const entries = [...names.entries(), [-1, none]].filter(([group]) => counts.has(group));
    const buttons = entries.map(([group, name]) => {
      const picture = svg("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" });
      picture.append(svg("path", mark(group)));
      const on = !this.hiddenOf(this.field).has(group);
      const button = melgraph.element("button", { type: "button", "aria-pressed": String(on) });
      button.append(picture, ` ${name} `, melgraph.element("small", {}, String(counts.get(group))));
      button.addEventListener("click", () => {
        const hidden = this.hiddenOf(this.field);
        if (!hidden.delete(group)) hidden.add(group);
        button.setAttribute("aria-pressed", String(!hidden.has(group)));
        this.filter();
      });
      return button;
    });
    this.find(".legend").replaceChildren(...buttons);
  }

  hiddenOf(field) {
    if (!this.hidden.has(field)) this.hidden.set(field, new Set());
    return this.hidden.get(field);
  }

  filter() {
    let count = 0;
    for (const point of this.points) {
      const grouped = [...this.hidden].every(([field, groups]) => !groups.has(point[field]));
      point.shown = grouped && this.words.every((word) => point.text.includes(word));
      count += point.shown;
    }
    const all = this.points.length;
    this.find("[data-count]").textContent = count < all ? `${count} of ${all} tracks` : "";
    this.find("[data-all]").hidden = count === all;
    this.plane.paint();
  }

  showAll() {
    this.hidden.clear();
    this.words = [];
    this.find("[data-find]").value = "";
    for (const button of this.find(".legend").children) button.setAttribute("aria-pressed", "true");
    this.filter();
    this.find("[data-find]").focus();
  }

  title({ track, label }) {
    const row = tracks[track];
    const parts = [row[NAME], row[ARTIST], label < 0 ? "" : this.map.labels[label]];
    return parts.filter(Boolean).join(" – ");
  }

  choose(point) {
    this.show(point);
    const source = tracks[point.track][SOURCE];
    if (source === null) {
      this.hint.textContent = `${this.title(point)}: this file is no longer in the library, so it cannot be played.`;
      return;
    }
    melgraph.play(document.body.dataset.library + source, this.title(point));
  }

  // The selected track beside the map: its spectrogram and its facts.
  show(point) {
    const track = tracks[point.track];
    const cluster = (field) => (point[field] >= 0 ? `cluster ${point[field] + 1}` : null);
    const facts = [
      ["label", point.label < 0 ? null : this.map.labels[point.label]],
      ["split", parts[point.part] ?? null],
      ["nearest labels", point.nearest],
      ["p-value", point.p === null ? null : point.p.toFixed(3)],
      ["k-means", cluster("kmeans")],
      ["Gaussian mixture", cluster("mixture")],
    ].filter(([, value]) => value);
    const list = melgraph.element("dl", {});
    for (const [name, value] of facts) {
      list.append(melgraph.element("dt", {}, name), melgraph.element("dd", {}, value));
    }
    const head = melgraph.element("div", { class: "with-play" });
    const name = melgraph.element("p", {}, melgraph.element("b", {}, track[NAME]));
    if (track[ARTIST]) name.append(` – ${track[ARTIST]}`);
    name.append(melgraph.element("span", { class: "path" }, track[PATH] ?? ""));
    head.append(melgraph.playButton(track[SOURCE], this.title(point)), name);
    const card = this.find(".chosen");
    card.replaceChildren(this.spectrogram(point), head, list);
    card.hidden = false;
  }

  // One spectrogram, cut out of its sheet.
  spectrogram({ tile, track }) {
    const { columns, rows, drawn, links, width, height } = this.map.sheets;
    if (tile === null) return melgraph.element("p", { class: "muted" }, "There is no picture of the spectrogram of this track.");
    const [sheet, at] = [Math.floor(tile / (columns * rows)), tile % (columns * rows)];
    const onSheet = Math.min(columns * rows, drawn - sheet * columns * rows);
    const alt = `Mel spectrogram of ${tracks[track][NAME]}`;
    const picture = melgraph.element("img", { src: links[sheet], alt });
    picture.style.width = `${100 * columns}%`;
    picture.style.height = `${100 * Math.ceil(onSheet / columns)}%`;
    picture.style.left = `${-100 * (at % columns)}%`;
    picture.style.top = `${-100 * Math.floor(at / columns)}%`;
    const frame = melgraph.element("div", { class: "cut" }, picture);
    frame.style.aspectRatio = `${width} / ${height}`;
    const caption = melgraph.element("figcaption", {}, "Mel spectrogram of the whole track. Horizontal axis: time. Vertical axis: frequency.");
    return melgraph.element("figure", {}, frame, caption);
  }
}

// Draw a map only when it is near the visible part of the page: each may have thousands of points.
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      new ClusterMap(target);
    }
  },
  { rootMargin: "100% 0px" },
);
for (const root of document.querySelectorAll("[data-map]")) near.observe(root);
