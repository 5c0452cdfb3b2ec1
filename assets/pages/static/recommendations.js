// Choose a track, and see and play the recommended tracks. `#track_id` in the address chooses a track.
"use strict";

const MOST_MATCHES = 12; // matches shown while typing
const [ID, NAME, ARTIST, PATH, LABEL, SOURCE] = Array(6).keys();

const { tracks, encoders } = melgraph.data();
const encoder = document.getElementById("encoder");
const search = document.getElementById("search");
const matches = document.getElementById("matches");
const selection = document.getElementById("chosen");
const searchable = tracks.map((t) => melgraph.fold([t[NAME], t[ARTIST], t[PATH], t[LABEL]].join("\n")));

function name(track) {
  return track[ARTIST] ? `${track[NAME]} – ${track[ARTIST]}` : track[NAME];
}

// Numbers of the tracks that can be chosen for the selected encoder, by path.
function choosable() {
  const numbers = Object.keys(encoders[encoder.value]).map(Number);
  return numbers.sort((a, b) => (tracks[a][PATH] < tracks[b][PATH] ? -1 : 1));
}

function show(number) {
  const track = tracks[number];
  const rows = (encoders[encoder.value][number] ?? []).map(([near, similarity]) => {
    const other = tracks[near];
    const more = melgraph.element("a", { href: `#${other[ID]}`, title: "Show the recommendations for this track." }, other[NAME]);
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
  if (track[LABEL]) facts.append(`, label ${track[LABEL]}`);
  const scroll = melgraph.element("div", { class: "scroll" }, table);
  selection.replaceChildren(heading, facts, rows.length ? scroll : melgraph.element("p", {}, "This encoder has no recommendations for this track."));
  markPlaying();
}

function showMatches() {
  const words = melgraph.fold(search.value).split(/\s+/).filter(Boolean);
  const numbers = choosable().filter((i) => words.every((word) => searchable[i].includes(word)));
  const items = numbers.slice(0, MOST_MATCHES).map((i) => {
    const label = tracks[i][LABEL] ? [" ", melgraph.element("small", {}, tracks[i][LABEL])] : [];
    return melgraph.element("li", {}, melgraph.element("a", { href: `#${tracks[i][ID]}`, role: "option" }, name(tracks[i]), ...label));
  });
  if (numbers.length > MOST_MATCHES) items.push(melgraph.element("li", { class: "muted" }, `and ${numbers.length - MOST_MATCHES} more tracks`));
  if (!numbers.length) items.push(melgraph.element("li", { class: "muted" }, "No track matches the search."));
  matches.replaceChildren(...items);
  setOpen(true);
}

function setOpen(open) {
  matches.hidden = !open;
  search.setAttribute("aria-expanded", String(open));
}

function follow() {
  const trackId = decodeURIComponent(location.hash.slice(1));
  const number = tracks.findIndex((t) => t[ID] === trackId);
  const first = choosable()[0];
  setOpen(false);
  if (number >= 0) show(number);
  else if (trackId) selection.replaceChildren(melgraph.element("p", { class: "notice" }, "There are no recommendations for the track in the address of this page. Choose another track."));
  else if (first !== undefined) show(first);
}

if (encoder) {
  const encoderName = new URLSearchParams(location.search).get("encoder");
  if (encoderName in encoders) encoder.value = encoderName;
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
