// The table of all files: filter and sort it, a hundred rows on each page.
"use strict";

const PAGE = 100;
const [NAME, ARTIST, PATH, SOURCE, LABEL, YEAR, SECONDS, CODEC, STATUS, REASON, SPLITS] = Array(11).keys();

const { rows, splits } = melgraph.data();
const columns = [
  { title: "track", at: NAME },
  { title: "label", at: LABEL },
  { title: "year", at: YEAR },
  { title: "length", at: SECONDS, number: true },
  { title: "codec", at: CODEC },
  ...splits.map((name, i) => ({ title: `split in ${name}`, at: SPLITS + i })),
  { title: "status", at: STATUS },
];
const searchable = rows.map((row) => melgraph.fold(row.filter((v) => typeof v === "string").join("\n")));
let matches = rows.map((_, i) => i);
let start = 0;
let sorted = { at: null, down: false };

const body = document.querySelector("#tracks tbody");
const head = document.querySelector("#tracks thead");
const filter = document.getElementById("filter");

function drawHead() {
  const cells = columns.map((column) => {
    const on = sorted.at === column.at;
    const arrow = on ? (sorted.down ? " ▾" : " ▴") : "";
    const button = melgraph.element("button", { type: "button" }, column.title + arrow);
    button.addEventListener("click", () => {
      sorted = { at: column.at, down: on ? !sorted.down : false };
      update();
    });
    const order = on ? (sorted.down ? "descending" : "ascending") : null;
    const kind = column.number ? "number" : null;
    return melgraph.element("th", { scope: "col", "aria-sort": order, class: kind }, button);
  });
  const first = melgraph.element("th", {}, melgraph.element("span", { class: "hidden" }, "play"));
  head.replaceChildren(melgraph.element("tr", {}, first, ...cells));
}

function drawRow(row) {
  const title = row[ARTIST] ? `${row[NAME]} – ${row[ARTIST]}` : row[NAME];
  const main = melgraph.element(
    "td",
    { class: "main-cell" },
    melgraph.element("b", {}, row[NAME]),
    row[ARTIST] ? ` ${row[ARTIST]}` : "",
    melgraph.element("code", { class: "path" }, row[PATH]),
  );
  const cells = columns.slice(1).map((column) => {
    const value = row[column.at];
    if (column.at === STATUS) return statusCell(row);
    const text = column.number ? melgraph.clock(value) : value;
    const kind = column.number ? "number" : null;
    return melgraph.element("td", { "data-label": column.title, class: kind }, text);
  });
  const play = melgraph.element("td", { class: "player-cell" }, melgraph.playButton(row[SOURCE], title));
  return melgraph.element("tr", {}, play, main, ...cells);
}

function statusCell(row) {
  const kind = { ok: row[REASON] ? "warn" : "good", duplicate: "warn" }[row[STATUS]] ?? "bad";
  const badge = melgraph.element("span", { class: `badge ${kind}` }, row[STATUS]);
  const cell = melgraph.element("td", { "data-label": "status" }, badge);
  if (row[REASON]) cell.append(" ", melgraph.element("small", {}, row[REASON]));
  return cell;
}

function draw() {
  drawHead();
  body.replaceChildren(...matches.slice(start, start + PAGE).map((i) => drawRow(rows[i])));
  const end = Math.min(start + PAGE, matches.length);
  document.getElementById("count").textContent =
    matches.length === rows.length ? `${rows.length} files` : `${matches.length} of ${rows.length} files`;
  document.getElementById("where").textContent = matches.length ? `${start + 1}–${end} of ${matches.length}` : "";
  document.getElementById("previous").disabled = start === 0;
  document.getElementById("next").disabled = end >= matches.length;
  document.querySelector(".pager").hidden = matches.length <= PAGE;
  markPlaying();
}

function update() {
  const words = melgraph.fold(filter.value).split(/\s+/).filter(Boolean);
  matches = [...rows.keys()].filter((i) => words.every((word) => searchable[i].includes(word)));
  if (sorted.at !== null) {
    const sign = sorted.down ? -1 : 1;
    matches.sort((a, b) => sign * compare(rows[a][sorted.at], rows[b][sorted.at]) || a - b);
  }
  start = 0;
  draw();
}

function compare(a, b) {
  if (typeof a === "number" || typeof b === "number") return (a ?? -1) - (b ?? -1);
  return a.localeCompare(b, "en", { numeric: true });
}

function turn(by) {
  start += by * PAGE;
  draw();
  document.getElementById("tracks").scrollIntoView({ block: "start" });
}

filter.addEventListener("input", update);
document.getElementById("previous").addEventListener("click", () => turn(-1));
document.getElementById("next").addEventListener("click", () => turn(1));
filter.value = new URLSearchParams(location.search).get("filter") ?? "";
update();
