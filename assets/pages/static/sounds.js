// Plays the sounds that are compared with each other equally loud: the quietest one sets the level.
// Players can attenuate only. Sounds without a measured loudness (silence) stay as they are.
"use strict";

function matchLoudness() {
  const match = document.getElementById("match");
  for (const sound of document.querySelectorAll("article.sound")) {
    const players = [...sound.querySelectorAll("audio[data-lufs]")];
    const quietest = Math.min(...players.map((player) => Number(player.dataset.lufs)));
    for (const player of players) {
      const excess = match.checked ? Number(player.dataset.lufs) - quietest : 0;
      player.volume = 10 ** (-excess / 20);
    }
  }
}

if (document.getElementById("match")) {
  document.getElementById("match").addEventListener("change", matchLoudness);
  matchLoudness();
}
