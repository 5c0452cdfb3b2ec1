// Choose a track, see and hear its neighbours. `#track_id` in the address chooses one.
"use strict";

const FOUND = 12; // matches listed while typing
const [ID, NAME, ARTIST, PATH, LABEL, SOURCE] = Array(6).keys();

const { tracks, encoders } = melgraph.data();
const encoder = document.getElementById("encoder");
const search = document.getElementById("search");
const matches = document.getElementById("matches");
const chosen = document.getElementById("chosen");
const searchable = tracks.map((t) => melgraph.fold([t[NAME], t[ARTIST], t[PATH], t[LABEL]].join("\n")));

function name(track) {
  return track[ARTIST] ? `${track[NAME]} – ${track[ARTIST]}` : track[NAME];
}

// Numbers of the tracks that can be chosen with the encoder in hand, by path.
function choosable() {
  const numbers = Object.keys(encoders[encoder.value]).map(Number);
  return numbers.sort((a, b) => (tracks[a][PATH] < tracks[b][PATH] ? -1 : 1));
}

function show(number) {
  const track = tracks[number];
  const rows = (encoders[encoder.value][number] ?? []).map(([near, similarity]) => {
    const other = tracks[near];
    const more = melgraph.element("a", { href: `#${other[ID]}`, title: "show its neighbours" }, other[NAME]);
    return melgraph.element(
      "tr",
      {},
      melgraph.element("td", { class: "player-cell" }, melgraph.playButton(other[SOURCE], name(other))),
      melgraph.element(
        "td",
        { class: "main-cell" },
        melgraph.element("b", {}, more),
        other[ARTIST] ? ` ${other[ARTIST]}` : "",
        melgraph.element("code", { class: "path" }, other[PATH]),
      ),
      melgraph.element("td", { "data-label": "label" }, other[LABEL]),
      melgraph.element("td", { "data-label": "similarity", class: "number" }, similarity?.toFixed(3) ?? "-"),
    );
  });
  const heads = ["", "track", "label", "similarity"].map((text) => {
    const kind = text === "similarity" ? "number" : null;
    return melgraph.element("th", { scope: "col", class: kind }, text);
  });
  const table = melgraph.element(
    "table",
    { class: "stack" },
    melgraph.element("thead", {}, melgraph.element("tr", {}, ...heads)),
    melgraph.element("tbody", {}, ...rows),
  );
  const heading = melgraph.element("h2", { class: "with-play" });
  heading.append(melgraph.playButton(track[SOURCE], name(track)), ` ${name(track)}`);
  const facts = melgraph.element("p", { class: "muted" }, melgraph.element("code", { class: "path" }, track[PATH]));
  if (track[LABEL]) facts.append(`, labelled ${track[LABEL]}`);
  const scroll = melgraph.element("div", { class: "scroll" }, table);
  chosen.replaceChildren(heading, facts, rows.length ? scroll : melgraph.element("p", {}, "No neighbours in this encoder's space."));
  markPlaying();
}

function showMatches() {
  const words = melgraph.fold(search.value).split(/\s+/).filter(Boolean);
  const found = choosable().filter((i) => words.every((word) => searchable[i].includes(word)));
  const items = found.slice(0, FOUND).map((i) => {
    const label = tracks[i][LABEL] ? [" ", melgraph.element("small", {}, tracks[i][LABEL])] : [];
    return melgraph.element("li", {}, melgraph.element("a", { href: `#${tracks[i][ID]}`, role: "option" }, name(tracks[i]), ...label));
  });
  if (found.length > FOUND) items.push(melgraph.element("li", { class: "muted" }, `and ${found.length - FOUND} more`));
  if (!found.length) items.push(melgraph.element("li", { class: "muted" }, "no track found"));
  matches.replaceChildren(...items);
  setOpen(true);
}

function setOpen(open) {
  matches.hidden = !open;
  search.setAttribute("aria-expanded", String(open));
}

function follow() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const number = tracks.findIndex((t) => t[ID] === wanted);
  const first = choosable()[0];
  setOpen(false);
  if (number >= 0) show(number);
  else if (wanted) chosen.replaceChildren(melgraph.element("p", { class: "notice" }, "That track is not among the recommendations."));
  else if (first !== undefined) show(first);
}

if (encoder) {
  const wanted = new URLSearchParams(location.search).get("encoder");
  if (wanted in encoders) encoder.value = wanted;
  encoder.addEventListener("change", () => {
    history.replaceState(null, "", location.pathname + "?encoder=" + encodeURIComponent(encoder.value) + location.hash);
    follow();
  });
  search.addEventListener("input", showMatches);
  search.addEventListener("focus", showMatches);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") setOpen(false);
    if (event.key === "Enter") matches.querySelector("a")?.click();
    if (event.key === "ArrowDown") {
      event.preventDefault();
      matches.querySelector("a")?.focus();
    }
  });
  matches.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const links = [...matches.querySelectorAll("a")];
    (links[links.indexOf(document.activeElement) + step] ?? search).focus();
  });
  matches.addEventListener("click", (event) => {
    if (event.target.closest("a")) setOpen(false);
  });
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("#matches, #search")) setOpen(false);
  });
  addEventListener("hashchange", follow);
  follow();
}
