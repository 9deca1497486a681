"use strict";
// Shows what the words and the levels of the bar select; both can be given in the address: #q=shop&level=error,warning
const words = document.getElementById("filter");
const boxes = [...document.querySelectorAll(".levels input")];
const findings = [...document.querySelectorAll("article.finding")];
const texts = new Map();
function text(finding) {
  if (!texts.has(finding)) {
    texts.set(finding, (finding.parentElement.firstElementChild.textContent + " " + finding.textContent).toLowerCase());
  }
  return texts.get(finding);
}
function show() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const levels = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let shown = 0;
  for (const finding of findings) {
    const isShown = levels.has(finding.dataset.level) && wanted.every((word) => text(finding).includes(word));
    finding.hidden = !isShown;
    shown += isShown ? 1 : 0;
  }
  for (const section of document.querySelectorAll("main section")) {
    section.hidden = !section.querySelector("article.finding:not([hidden])");
  }
  document.getElementById("shown").textContent = shown + " of " + findings.length;
  document.documentElement.dataset.shown = shown;
}
function takeAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("q")) {
    words.value = asked.get("q");
  }
  if (asked.has("level")) {
    const levels = asked.get("level").split(",");
    boxes.forEach((box) => { box.checked = levels.includes(box.value); });
  }
  show();
}
let waiting;
words.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 80); });
boxes.forEach((box) => box.addEventListener("change", show));
addEventListener("hashchange", takeAddress);
document.querySelector(".bar").hidden = findings.length === 0;
takeAddress();
