// Filters the list that is there anyway. Without this script the list is complete.
"use strict";

const form = document.getElementById("search");
const words = document.getElementById("words");
const facets = [...form.querySelectorAll("select")];
const found = document.getElementById("found");
const nothing = document.getElementById("nothing");
const models = [...document.querySelectorAll("#models > li")].map((item) => ({
  item,
  text: item.textContent.toLowerCase(),
  link: item.querySelector("a"),
}));

function matches(model, wanted) {
  return (
    wanted.every((word) => model.text.includes(word)) &&
    facets.every((one) => !one.value || model.item.dataset[one.name] === one.value)
  );
}

function show() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const model of models) {
    const shown = matches(model, wanted);
    if (model.item.hidden === shown) model.item.hidden = !shown;
    count += shown;
  }
  found.textContent = `${count} of ${models.length} shown`;
  if (nothing) nothing.hidden = count > 0;
}

// What is searched for stands in the address, so that it can be shared.
function remember() {
  const asked = new URLSearchParams();
  for (const one of [words, ...facets]) if (one.value) asked.set(one.name, one.value);
  const query = asked.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

function change() {
  show();
  remember();
}

function clear() {
  for (const one of [words, ...facets]) one.value = "";
  change();
  words.focus();
}

function recall() {
  const asked = new URLSearchParams(location.search);
  for (const one of [words, ...facets]) one.value = asked.get(one.name) ?? "";
  for (const one of facets) if (one.selectedIndex < 0) one.value = "";
}

form.addEventListener("input", change);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  models.find((model) => !model.item.hidden)?.link.click();
});
document.getElementById("clear")?.addEventListener("click", clear);
document.addEventListener("keydown", (event) => {
  const types = /^(input|select|textarea)$/i.test(event.target.tagName);
  if (event.key === "/" && !types && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    words.focus();
    words.select();
  } else if (event.key === "Escape" && event.target === words) {
    event.preventDefault();
    clear();
  }
});

recall();
form.hidden = false;
show();
