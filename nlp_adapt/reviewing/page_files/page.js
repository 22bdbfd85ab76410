"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const choices = [
  ["A", (item) => item.a],
  ["B", (item) => item.b],
  ["neither", () => "both wrong"],
  ["both", () => "both right"],
  ["unsure", () => "unsure"],
];
let answers = {};
let at = 0;

function load() {
  try {
    answers = JSON.parse(localStorage.getItem(data.key)) || {};
  } catch {
    byId("note").textContent = "This browser keeps no answers: save before you close the page.";
  }
  const open = data.items.findIndex((item) => !(item.id in answers));
  at = open < 0 ? data.items.length - 1 : open;
}

function keep() {
  try {
    localStorage.setItem(data.key, JSON.stringify(answers));
  } catch {
    byId("note").textContent = "This browser keeps no answers: save before you close the page.";
  }
}

function answer(said) {
  answers[data.items[at].id] = said;
  keep();
  move(1);
}

function move(by) {
  at = Math.min(Math.max(at + by, 0), data.items.length - 1);
  show();
}

function show() {
  const item = data.items[at];
  const said = answers[item.id];
  const done = data.items.filter((one) => one.id in answers).length;
  byId("progress").textContent = `Row ${at + 1} of ${data.items.length}, ${done} answered`;
  byId("bar").style.setProperty("transform", `scaleX(${done / data.items.length})`);
  showText(item);
  byId("question").textContent = item.end > 0
    ? "What is the marked part?" : "Which label is right?";
  byId("choices").replaceChildren(...choices.map(([name, words], number) => {
    const button = document.createElement("button");
    const key = document.createElement("kbd");
    key.textContent = String(number + 1);
    button.type = "button";
    button.className = number < 2 ? "" : "small";
    button.append(key, words(item));
    button.setAttribute("aria-pressed", String(said === data.codes[name]));
    button.addEventListener("click", () => answer(data.codes[name]));
    return button;
  }));
  showLabels(item, said);
  byId("back").disabled = at === 0;
  byId("next").disabled = at === data.items.length - 1;
  if (done === data.items.length) {
    byId("note").textContent = "All rows are answered: save them, and give the file to --labels.";
  }
}

function showText(item) {
  const parts = [item.text];
  if (item.end > 0) {
    const mark = document.createElement("mark");
    mark.textContent = item.text.slice(item.start, item.end);
    parts.splice(0, 1, item.text.slice(0, item.start), mark, item.text.slice(item.end));
  }
  byId("text").replaceChildren(...parts);
}

function showLabels(item, said) {
  const others = data.labels.filter((label) => label !== item.a && label !== item.b);
  byId("others").hidden = others.length === 0;
  byId("label").replaceChildren(...["", ...others].map((label) => {
    const option = document.createElement("option");
    option.value = label;
    option.textContent = label || "...";
    option.selected = label === said;
    return option;
  }));
}

function save() {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const rows = data.items.filter((item) => item.id in answers)
    .map((item) => `${item.id},${quoted(answers[item.id])}\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`id,answer\n${rows.join("")}`], { type: "text/csv" }));
  link.download = "review-answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  byId("note").textContent = `${rows.length} answers saved to review-answers.csv.`;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") {
    return;
  }
  const number = Number(event.key);
  if (Number.isInteger(number) && number >= 1 && number <= choices.length) {
    answer(data.codes[choices[number - 1][0]]);
  } else if (event.key === "ArrowLeft") {
    move(-1);
  } else if (event.key === "ArrowRight") {
    move(1);
  } else if (event.key === "Backspace") {
    delete answers[data.items[at].id];
    keep();
    show();
  } else if (event.key === "s") {
    save();
  } else {
    return;
  }
  event.preventDefault();
});
byId("back").addEventListener("click", () => move(-1));
byId("next").addEventListener("click", () => move(1));
byId("save").addEventListener("click", save);
byId("label").addEventListener("change", (event) => event.target.value && answer(event.target.value));
load();
show();
