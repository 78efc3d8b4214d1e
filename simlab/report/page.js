"use strict";
(() => {
  const form = document.getElementById("filters");
  const cards = [...document.querySelectorAll(".card")];
  const shown = document.getElementById("shown");
  const keys = ["method", "verdict", "provenance", "q"];

  function fits(card, wanted) {
    const methods = card.dataset.methods.split(" ").filter(Boolean);
    return (!wanted.method || (wanted.method === "-" ? !methods.length : methods.includes(wanted.method)))
      && (!wanted.verdict || card.dataset.verdict === wanted.verdict)
      && (!wanted.provenance || card.dataset.provenance === wanted.provenance)
      && wanted.q.toLowerCase().split(/\s+/).every(word => card.dataset.text.includes(word));
  }

  function show() {
    const wanted = Object.fromEntries(keys.map(key => [key, form.elements[key].value.trim()]));
    for (const card of cards) card.hidden = !fits(card, wanted);
    for (const part of document.querySelectorAll(".part")) part.hidden = !part.querySelector(".card:not([hidden])");
    const left = cards.filter(card => !card.hidden).length;
    shown.textContent = left === cards.length ? `${left} claims` : `${left} of ${cards.length} claims`;
    return wanted;
  }

  function filter() {
    const chosen = Object.entries(show()).filter(([, value]) => value);
    history.replaceState(null, "", chosen.length ? `#${new URLSearchParams(chosen)}` : location.href.split("#")[0]);
  }

  function follow() {
    const hash = location.hash.slice(1);
    const target = document.getElementById(decodeURIComponent(hash));
    if (hash.includes("=")) {
      const wanted = new URLSearchParams(hash);
      for (const key of keys) form.elements[key].value = wanted.get(key) || "";
      show();
      document.getElementById("claims").scrollIntoView();
    } else if (target && target.hidden) {
      form.reset();
      show();
      target.scrollIntoView();
    }
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    addEventListener("hashchange", follow);
    show();
    follow();
  }

  for (const line of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      const code = line.querySelector("code");
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); } catch { document.execCommand("copy"); }
      getSelection().removeAllRanges();
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    line.append(button);
  }
})();
