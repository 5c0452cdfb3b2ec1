// The shared player, copy buttons, and small functions. No modules, because they do not load from disk.
"use strict";

const melgraph = {
  // The JSON data of the page.
  data() {
    return JSON.parse(document.getElementById("data").textContent);
  },

  // An element with text. Text is never parsed as HTML, so that no title can be markup.
  element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  },

  playButton(source, title) {
    if (source === null) {
      return melgraph.element("span", { class: "muted", title: "This file cannot be played." }, "–");
    }
    return melgraph.element("button", {
      type: "button",
      class: "play",
      "data-play": document.body.dataset.library + source,
      "data-title": title,
      "aria-label": `Play ${title}`,
    });
  },

  // Plays a file in the shared player. A second call for the same file pauses it.
  play(url, title) {
    const audio = document.getElementById("player-audio");
    const same = audio.getAttribute("src") === url;
    if (same && !audio.paused) {
      audio.pause();
      return;
    }
    document.getElementById("player").hidden = false;
    document.body.classList.add("with-player");
    document.getElementById("player-title").textContent = title;
    document.getElementById("player-note").textContent = "";
    if (!same) audio.setAttribute("src", url);
    audio.play().catch((error) => {
      if (error.name === "AbortError") return; // another track was started meanwhile
      const note = document.getElementById("player-note");
      const link = melgraph.element("a", { href: url }, "open the file");
      note.replaceChildren(" – This browser cannot play the file. To use another player, ", link);
    });
  },

  clock(seconds) {
    if (seconds === null) return "";
    return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  },

  // Lower case without accents, so that "bjork" finds "Björk".
  fold(text) {
    return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-play]");
  if (button) melgraph.play(button.dataset.play, button.dataset.title);
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
});

async function copyText(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  } catch {
    // The clipboard cannot be used: select the command, so that the user can copy it by key.
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "selected";
  }
  setTimeout(() => (button.textContent = "copy"), 1500);
}

// Only one sound plays at a time. The button of the playing file shows it.
for (const name of ["play", "pause", "ended"]) {
  document.addEventListener(
    name,
    (event) => {
      if (name === "play") {
        for (const other of document.querySelectorAll("audio")) {
          if (other !== event.target) other.pause();
        }
      }
      markPlaying();
    },
    true,
  );
}

function markPlaying() {
  const audio = document.getElementById("player-audio");
  const playing = audio.paused ? null : audio.getAttribute("src");
  for (const button of document.querySelectorAll("[data-play]")) {
    const on = button.dataset.play === playing;
    button.classList.toggle("playing", on);
    const verb = on ? "Pause" : "Play";
    button.setAttribute("aria-label", `${verb} ${button.dataset.title}`);
  }
}

document.getElementById("player-close").addEventListener("click", () => {
  document.getElementById("player-audio").pause();
  document.getElementById("player").hidden = true;
  document.body.classList.remove("with-player");
});
